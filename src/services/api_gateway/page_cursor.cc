#include "services/api_gateway/page_cursor.h"

#include "io/bytes.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kMaxTextSize = 2 * (1 + 8 + 8 + kMaxMetricNameSize);

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool from_hex(std::string_view text, std::string& bytes) {
  if (text.size() % 2 != 0 || text.size() > kMaxTextSize) return false;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    bytes += static_cast<char>(high * 16 + low);
  }
  return true;
}

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 0xF];
  }
  return text;
}

}  // namespace

void QuestionHash::add(std::string_view part) {
  const auto mix = [this](unsigned char byte) { hash_ = (hash_ ^ byte) * 0x100000001B3ULL; };
  for (const char c : part) mix(static_cast<unsigned char>(c));
  mix(0xFF);  // in no UTF-8 text
}

std::string encode_cursor(std::uint64_t question, const storage::SampleKey& last) {
  std::string bytes;
  io::append_fixed(bytes, kVersion);
  io::append_fixed(bytes, question);
  io::append_fixed(bytes, unix_milliseconds(last.timestamp));
  bytes += last.metric;
  return to_hex(bytes);
}

Result<storage::SampleKey> decode_cursor(std::string_view text, std::uint64_t question) {
  std::string bytes;
  bool ok = from_hex(text, bytes);
  io::ByteReader reader(bytes);
  const auto version = reader.fixed<std::uint8_t>();
  const auto asked = reader.fixed<std::uint64_t>();
  const auto time = reader.fixed<std::int64_t>();
  const std::string metric(reader.bytes(reader.remaining()));
  ok = ok && reader.ok() && version == kVersion && is_valid_metric_name(metric);
  if (!ok) return invalid("cursor: not one that this API gave out; leave it out to start again");
  if (asked != question) {
    return invalid(
        "cursor: belongs to another query; repeat the query that it came with, or leave it out to "
        "start again");
  }
  return storage::SampleKey{from_unix_milliseconds(time), metric};
}

}  // namespace gpu_telemetry::services
