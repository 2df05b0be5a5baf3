#include "services/json/json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "domain/digits.h"

namespace gpu_telemetry::services::json {
namespace {

// Length of the valid UTF-8 sequence at the front of `text` (RFC 3629), 0 when there is none.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto is_tail = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return is_tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!is_tail(1) || !is_tail(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
    if (lead == 0xED && byte(1) > 0x9F) return 0;  // surrogate
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!is_tail(1) || !is_tail(2) || !is_tail(3)) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;  // overlong
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

void append_escaped(std::string& out, char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kDigits[(static_cast<unsigned char>(c) >> 4) & 0xF];
      out += kDigits[static_cast<unsigned char>(c) & 0xF];
  }
}

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

// Writes a value that is a whole number of thousandths, as most readings are; null for others.
char* put_thousandths(char* out, double value) {
  constexpr double kLargest = 1e12;  // thousandths of it are exact in a double
  if (!(std::fabs(value) < kLargest) || (value == 0 && std::signbit(value))) return nullptr;
  const double magnitude = std::fabs(value);
  const auto whole = static_cast<std::uint64_t>(magnitude);
  if (value < 0) *out++ = '-';
  if (static_cast<double>(whole) == magnitude) return put_unsigned(out, whole);
  const auto thousandths = static_cast<std::uint64_t>(magnitude * 1000 + 0.5);
  if (static_cast<double>(thousandths) / 1000 != magnitude) return nullptr;
  out = put_unsigned(out, thousandths / 1000);
  *out++ = '.';
  const auto fraction = static_cast<unsigned>(thousandths % 1000);
  out = put_digit(out, fraction / 100);
  if (fraction % 100 == 0) return out;
  if (fraction % 10 == 0) return put_digit(out, fraction / 10 % 10);
  return put_pair(out, fraction % 100);
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && is_plain(text[plain])) ++plain;
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t sequence = utf8_sequence(text);
    if (sequence > 1) {
      out += text.substr(0, sequence);
    } else if (sequence == 1) {
      append_escaped(out, text.front());
    } else {
      out += "\xEF\xBF\xBD";
    }
    text.remove_prefix(sequence == 0 ? 1 : sequence);
  }
  out += '"';
}

char* put_number(char* out, double value) {
  if (char* end = put_thousandths(out, value)) return end;
  return std::to_chars(out, out + kNumberMaxSize, value).ptr;
}

void append_number(std::string& out, double value) {
  char text[kNumberMaxSize];
  out.append(text, static_cast<std::size_t>(put_number(text, value) - text));
}

char* put_integer(char* out, std::int64_t value) {
  if (value >= 0) return put_unsigned(out, static_cast<std::uint64_t>(value));
  *out++ = '-';
  return put_unsigned(out, 0 - static_cast<std::uint64_t>(value));
}

void append_key(std::string& out, std::string_view name) {
  if (!out.empty() && out.back() != '{' && out.back() != '[') out += ',';
  append_string(out, name);
  out += ':';
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  append_key(out, name);
  append_string(out, text);
}

}  // namespace gpu_telemetry::services::json
