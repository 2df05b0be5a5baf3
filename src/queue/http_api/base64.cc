#include "queue/http_api/base64.h"

#include <array>
#include <cstdint>

namespace gpu_telemetry::queue {
namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (std::size_t i = 0; i < kDigits.size(); ++i) {
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr auto kValues = make_values();

std::uint32_t byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = bytes.size() - at;
    std::uint32_t group = byte_at(bytes, at) << 16;
    if (left > 1) group |= byte_at(bytes, at + 1) << 8;
    if (left > 2) group |= byte_at(bytes, at + 2);
    out += kDigits[group >> 18];
    out += kDigits[(group >> 12) & 63];
    out += left > 1 ? kDigits[(group >> 6) & 63] : '=';
    out += left > 2 ? kDigits[group & 63] : '=';
  }
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const std::size_t missing = at + 4 == text.size() ? padding : 0;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 4 - missing; ++i) {
      const std::uint8_t value = kValues[byte_at(text, at + i)];
      if (value == kNoDigit) return std::nullopt;
      group |= static_cast<std::uint32_t>(value) << (18 - 6 * i);
    }
    const std::uint32_t unused = missing == 0 ? 0 : missing == 1 ? 0xff : 0xffff;
    if ((group & unused) != 0) return std::nullopt;  // a second spelling of the same bytes
    out += static_cast<char>(group >> 16);
    if (missing < 2) out += static_cast<char>((group >> 8) & 0xff);
    if (missing < 1) out += static_cast<char>(group & 0xff);
  }
  return out;
}

}  // namespace gpu_telemetry::queue
