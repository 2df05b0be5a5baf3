#include "queue/receipt.h"

#include <array>
#include <random>

namespace gpu_telemetry::queue {
namespace {

constexpr char kDigits[] = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

constexpr auto kValues = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (int i = 0; i < 64; ++i)
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int8_t>(i);
  return values;
}();

void put(char* out, int digits, std::uint64_t value) {
  for (int i = digits - 1; i >= 0; --i, value >>= 6) out[i] = kDigits[value & 63];
}

void put_key(char* out, const MessageKey& key) {
  put(out, 8, key.epoch);
  put(out + 8, 3, key.topic);
  put(out + 11, 9, key.sequence);
}

// False when a character is not a digit or the number needs more than 64 bits.
bool get(const char* from, int digits, std::uint64_t& value) {
  value = 0;
  for (int i = 0; i < digits; ++i) {
    const int digit = kValues[static_cast<unsigned char>(from[i])];
    if (digit < 0 || value >> 58 != 0) return false;
    value = value << 6 | static_cast<std::uint64_t>(digit);
  }
  return true;
}

}  // namespace

std::string format_message_id(const MessageKey& key) {
  std::string text(kMessageIdSize, '-');
  put_key(text.data(), key);
  return text;
}

std::string format_receipt(const MessageKey& key, std::uint64_t stamp) {
  std::string text(kReceiptSize, '-');
  put_key(text.data(), key);
  put(text.data() + kMessageIdSize, 11, stamp);
  return text;
}

std::optional<ParsedReceipt> parse_receipt(std::string_view text) {
  if (text.size() != kMessageIdSize && text.size() != kReceiptSize) return std::nullopt;
  ParsedReceipt parsed;
  std::uint64_t topic = 0;
  if (!get(text.data(), 8, parsed.message.epoch) || !get(text.data() + 8, 3, topic) ||
      !get(text.data() + 11, 9, parsed.message.sequence)) {
    return std::nullopt;
  }
  parsed.message.topic = static_cast<std::uint32_t>(topic);
  if (text.size() == kReceiptSize) {
    std::uint64_t stamp = 0;
    if (!get(text.data() + kMessageIdSize, 11, stamp)) return std::nullopt;
    parsed.stamp = stamp;
  }
  return parsed;
}

std::uint64_t random_epoch() {
  std::random_device device;
  const std::uint64_t bits = (std::uint64_t{device()} << 32 | device()) & kMaxEpoch;
  return bits == 0 ? 1 : bits;
}

}  // namespace gpu_telemetry::queue
