#include "domain/time.h"

#include <algorithm>

#include "domain/digits.h"

namespace gpu_telemetry {
namespace {

Error malformed(std::string_view text) {
  return invalid("malformed time '" + std::string(text.substr(0, 80)) +
                 "': expected RFC 3339 with a zone, such as 2025-07-18T20:42:34Z");
}

// What can be written again.
constexpr Timestamp kFirst{std::chrono::sys_days{std::chrono::year{0} / 1 / 1}};
constexpr Timestamp kLast =
    Timestamp{std::chrono::sys_days{std::chrono::year{10'000} / 1 / 1}} - Milliseconds{1};

// Reads `count` digits at `at`; -1 when one is none.
int digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    const char c = text[i];
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

Result<Timestamp> parse_rfc3339(std::string_view text, Rounding rounding) {
  using namespace std::chrono;
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) {
    return malformed(text);
  }
  const int y = digits(text, 0, 4);
  const int mo = digits(text, 5, 2);
  const int d = digits(text, 8, 2);
  const int h = digits(text, 11, 2);
  const int mi = digits(text, 14, 2);
  const int s = digits(text, 17, 2);
  const year_month_day date{year{y}, month{static_cast<unsigned>(mo)},
                            day{static_cast<unsigned>(d)}};
  if (y < 0 || mo < 1 || d < 1 || !date.ok() || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 ||
      s > 60) {
    return malformed(text);
  }
  std::size_t at = 19;
  int millis = 0;
  bool finer = false;  // digits below a millisecond that are not zero
  if (text[at] == '.') {
    const std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      const int digit = text[at] - '0';
      if (at - first < 3) {
        millis = millis * 10 + digit;
      } else {
        finer = finer || digit != 0;
      }
    }
    if (at == first) return malformed(text);
    for (std::size_t n = at - first; n < 3; ++n) millis *= 10;
  }
  if (at >= text.size()) return malformed(text);
  minutes offset{0};
  if (text[at] == 'Z' || text[at] == 'z') {
    ++at;
  } else if ((text[at] == '+' || text[at] == '-') && text.size() == at + 6 && text[at + 3] == ':') {
    const int oh = digits(text, at + 1, 2);
    const int om = digits(text, at + 4, 2);
    if (oh < 0 || oh > 23 || om < 0 || om > 59) return malformed(text);
    offset = hours{oh} + minutes{om};
    if (text[at] == '-') offset = -offset;
    at += 6;
  } else {
    return malformed(text);
  }
  if (at != text.size()) return malformed(text);
  Timestamp time = Timestamp{sys_days{date}} + hours{h} + minutes{mi} + seconds{s} +
                   Milliseconds{millis} - offset;
  if (finer && rounding == Rounding::kUp) time += Milliseconds{1};
  if (time < kFirst || time > kLast) return malformed(text);  // carried out of years 0 to 9999
  return time;
}

char* format_rfc3339_to(char* out, Timestamp time) {
  using namespace std::chrono;
  time = std::clamp(time, kFirst, kLast);
  const auto day_start = floor<days>(time);
  const year_month_day date{day_start};
  const auto of_day = static_cast<unsigned>((time - day_start).count());
  const unsigned millis = of_day % 1000;
  const unsigned secs = of_day / 1000;
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  out = put_pair(put_pair(out, year / 100), year % 100);
  *out++ = '-';
  out = put_pair(out, static_cast<unsigned>(date.month()));
  *out++ = '-';
  out = put_pair(out, static_cast<unsigned>(date.day()));
  *out++ = 'T';
  out = put_pair(out, secs / 3600);
  *out++ = ':';
  out = put_pair(out, secs / 60 % 60);
  *out++ = ':';
  out = put_pair(out, secs % 60);
  if (millis != 0) {
    *out++ = '.';
    out = put_pair(put_digit(out, millis / 100), millis % 100);
  }
  *out++ = 'Z';
  return out;
}

std::string format_rfc3339(Timestamp time) {
  char text[kRfc3339MaxSize];
  return {text, format_rfc3339_to(text, time)};
}

}  // namespace gpu_telemetry
