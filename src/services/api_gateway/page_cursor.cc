#include "services/api_gateway/page_cursor.h"

#include "io/bytes.h"

namespace gpu_telemetry::services {
namespace {

// They tell the kinds of cursors apart, too.
constexpr std::uint8_t kSampleVersion = 1;
constexpr std::uint8_t kGpuVersion = 2;
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

Error not_ours() {
  return invalid("cursor: not one that this API gave out; leave it out to start again");
}

// The key of a cursor of that version and question.
Result<std::string> decode(std::string_view text, std::uint8_t version, std::uint64_t question) {
  std::string bytes;
  const bool is_hex = from_hex(text, bytes);
  io::ByteReader reader(bytes);
  const auto written = reader.fixed<std::uint8_t>();
  const auto asked = reader.fixed<std::uint64_t>();
  const std::string key(reader.bytes(reader.remaining()));
  if (!is_hex || !reader.ok() || written != version) return not_ours();
  if (asked != question) {
    return invalid(
        "cursor: belongs to another query; repeat the query that it came with, or leave it out to "
        "start again");
  }
  return key;
}

}  // namespace

void QuestionHash::add(std::string_view part) {
  const auto mix = [this](unsigned char byte) { hash_ = (hash_ ^ byte) * 0x100000001B3ULL; };
  for (const char c : part) mix(static_cast<unsigned char>(c));
  mix(0xFF);  // in no UTF-8 text
}

std::string encode_cursor(std::uint64_t question, const storage::SampleKey& last) {
  std::string bytes;
  io::append_fixed(bytes, kSampleVersion);
  io::append_fixed(bytes, question);
  io::append_fixed(bytes, unix_milliseconds(last.timestamp));
  bytes += last.metric;
  return to_hex(bytes);
}

Result<storage::SampleKey> decode_cursor(std::string_view text, std::uint64_t question) {
  const auto key = decode(text, kSampleVersion, question);
  if (!key) return key.error();
  io::ByteReader reader(*key);
  const auto time = reader.fixed<std::int64_t>();
  const std::string metric(reader.bytes(reader.remaining()));
  if (!reader.ok() || !is_valid_metric_name(metric)) return not_ours();
  return storage::SampleKey{from_unix_milliseconds(time), metric};
}

std::string encode_gpu_cursor(std::uint64_t question, const GpuUuid& last) {
  std::string bytes;
  io::append_fixed(bytes, kGpuVersion);
  io::append_fixed(bytes, question);
  bytes += last.to_string();
  return to_hex(bytes);
}

Result<GpuUuid> decode_gpu_cursor(std::string_view text, std::uint64_t question) {
  const auto key = decode(text, kGpuVersion, question);
  if (!key) return key.error();
  GpuUuid uuid;
  if (!GpuUuid::try_parse(*key, uuid)) return not_ours();
  return uuid;
}

}  // namespace gpu_telemetry::services
