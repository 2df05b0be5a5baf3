#include "observability/log_text.h"

#include <time.h>

#include <cstdint>
#include <cstdio>

namespace gpu_telemetry::observability {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// The length of the well-formed UTF-8 sequence at `at` (RFC 3629: no overlong forms, no surrogates,
// nothing past U+10FFFF), or 0.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned lead = byte(at);
  const unsigned second = byte(at + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(at + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && second < 0xA0;
    const bool surrogate = lead == 0xED && second > 0x9F;
    return continues(at + 1) && continues(at + 2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && second < 0x90;
    const bool too_large = lead == 0xF4 && second > 0x8F;
    return continues(at + 1) && continues(at + 2) && continues(at + 3) && !overlong && !too_large
               ? 4
               : 0;
  }
  return 0;
}

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\';
}

void append_control(std::string& out, char c) {
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default: {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
      out += escaped;
    }
  }
}

// Escapes control characters and repairs UTF-8; with `quoted`, also quotes and backslashes.
void append_escaped(std::string& out, std::string_view text, bool quoted) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && is_plain(text[end])) ++end;
    out.append(text, at, end - at);
    if (end == text.size()) return;
    at = end;
    const char c = text[at];
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      append_control(out, c);
      ++at;
    } else if (byte < 0x80) {  // a quote or a backslash
      if (quoted) out += '\\';
      out += c;
      ++at;
    } else if (const std::size_t length = utf8_length(text, at); length != 0) {
      // U+0080 to U+009F are control characters too; a terminal may act on them.
      if (length == 2 && byte == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0) {
        append_control(out, text[at + 1]);
      } else {
        out.append(text, at, length);
      }
      at += length;
    } else {
      out += kReplacement;
      ++at;
    }
  }
}

void append_digits(std::string& out, unsigned value, int count) {
  char digits[8];
  for (int i = count - 1; i >= 0; --i) {
    digits[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  out.append(digits, static_cast<std::size_t>(count));
}

unsigned millisecond_of(Timestamp time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  return static_cast<unsigned>((time - whole).count());
}

void append_clock_time(std::string& out, Timestamp time) {
  const time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  tm local{};
  localtime_r(&seconds, &local);
  append_digits(out, static_cast<unsigned>(local.tm_hour), 2);
  out += ':';
  append_digits(out, static_cast<unsigned>(local.tm_min), 2);
  out += ':';
  append_digits(out, static_cast<unsigned>(local.tm_sec), 2);
  out += '.';
  append_digits(out, millisecond_of(time), 3);
}

void append_text_value(std::string& out, std::string_view value) {
  if (!value.empty() && value.find_first_of(" \"=\n\t") == std::string_view::npos) {
    append_escaped(out, value, false);
    return;
  }
  out += '"';
  append_escaped(out, value, true);
  out += '"';
}

std::string_view colour_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "\x1b[36m";
    case LogLevel::kInfo:
      return "\x1b[32m";
    case LogLevel::kWarn:
      return "\x1b[33m";
    case LogLevel::kError:
      return "\x1b[31m";
  }
  return "";
}

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kPlain = "\x1b[0m";

void append_json_member(std::string& out, std::string_view name, std::string_view value) {
  out += ",\"";
  append_json_escaped(out, name);
  out += "\":\"";
  append_json_escaped(out, value);
  out += '"';
}

}  // namespace

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarn:
      return "WARN";
    case LogLevel::kError:
      return "ERROR";
  }
  return "INFO";
}

void append_json_escaped(std::string& out, std::string_view text) {
  append_escaped(out, text, true);
}

std::string json_log_line(Timestamp time, LogLevel level, std::string_view service,
                          std::string_view message, std::span<const LogField> fields) {
  std::string out;
  out.reserve(96 + message.size() + fields.size() * 32);
  out += "{\"time\":\"";
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  char text[kRfc3339MaxSize];
  char* end = format_rfc3339_to(text, Timestamp{second});
  out.append(text, end - 1);  // without the Z: the digits are written even when they are zero
  out += '.';
  append_digits(out, millisecond_of(time), 3);
  out += 'Z';
  out += "\",\"level\":\"";
  for (const char c : level_name(level)) out += static_cast<char>(c - 'A' + 'a');
  out += '"';
  if (!service.empty()) append_json_member(out, "service", service);
  append_json_member(out, "message", message);
  for (const LogField& field : fields) {
    if (!field.bare()) {
      append_json_member(out, field.name(), field.text());
      continue;
    }
    out += ",\"";
    append_json_escaped(out, field.name());
    out += "\":";
    out += field.text();
  }
  out += "}\n";
  return out;
}

std::string text_log_line(Timestamp time, LogLevel level, std::string_view message,
                          std::span<const LogField> fields, bool coloured) {
  std::string out;
  out.reserve(64 + message.size() + fields.size() * 32);
  if (coloured) out += kDim;
  append_clock_time(out, time);
  if (coloured) out += kPlain;
  out += ' ';
  if (coloured) out += colour_of(level);
  out += level_name(level);
  if (coloured) out += kPlain;
  out.append(6 - level_name(level).size(), ' ');
  append_escaped(out, message, false);
  for (const LogField& field : fields) {
    out += ' ';
    if (coloured) out += kDim;
    append_escaped(out, field.name(), false);
    out += '=';
    if (coloured) out += kPlain;
    append_text_value(out, field.text());
  }
  out += '\n';
  return out;
}

}  // namespace gpu_telemetry::observability
