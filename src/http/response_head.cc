#include "http/response_head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "http/encoding.h"

namespace gpu_telemetry::http {
namespace {

bool belongs_to_server(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kOwn = {
      "Content-Length", "Transfer-Encoding", "Date", "Connection", "Keep-Alive", "X-Request-Id"};
  return std::any_of(kOwn.begin(), kOwn.end(),
                     [&](std::string_view own) { return equal_ignoring_case(name, own); });
}

bool is_field_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

void append_two_digits(std::string& out, unsigned number) {
  out += static_cast<char>('0' + number / 10 % 10);
  out += static_cast<char>('0' + number % 10);
}

}  // namespace

bool has_no_body(int status) { return status == 204 || status == 304 || status < 200; }

std::string_view response_defect(const Response& response) {
  if (response.status < 200 || response.status > 599) return "its status is not 200 to 599";
  for (const auto& [name, value] : response.headers.all()) {
    if (!is_token(name)) return "a header's name is not a token";
    if (!is_field_value(value)) return "a header's value has a line break or a NUL";
  }
  return {};
}

void append_head(std::string& out, const Response& response, const ResponseFraming& framing) {
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(response.status));
  out += ' ';
  out += reason_phrase(response.status);
  out += "\r\nDate: ";
  out += framing.date;
  for (const auto& [name, value] : response.headers.all()) {
    if (belongs_to_server(name)) continue;
    out += "\r\n";
    out += name;
    out += ": ";
    out += value;
  }
  if (framing.content_length) {
    out += "\r\nContent-Length: ";
    append_number(out, *framing.content_length);
  }
  if (framing.chunked) out += "\r\nTransfer-Encoding: chunked";
  if (!framing.request_id.empty()) {
    out += "\r\nX-Request-Id: ";
    out += framing.request_id;
  }
  if (framing.close) {
    out += "\r\nConnection: close";
  } else if (framing.say_keep_alive) {
    out += "\r\nConnection: keep-alive";
  }
  out += "\r\n\r\n";
}

std::string imf_fixdate(std::int64_t unix_seconds) {
  static constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                            "Thu", "Fri", "Sat"};
  static constexpr std::array<std::string_view, 12> kMonths = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::chrono::sys_seconds time{std::chrono::seconds{unix_seconds}};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const auto second_of_day = static_cast<unsigned>((time - day).count());
  std::string text(kDays[std::chrono::weekday{day}.c_encoding()]);
  text += ", ";
  append_two_digits(text, static_cast<unsigned>(date.day()));
  text += ' ';
  text += kMonths[static_cast<unsigned>(date.month()) - 1];
  text += ' ';
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  append_two_digits(text, year / 100);
  append_two_digits(text, year % 100);
  text += ' ';
  append_two_digits(text, second_of_day / 3600);
  text += ':';
  append_two_digits(text, second_of_day / 60 % 60);
  text += ':';
  append_two_digits(text, second_of_day % 60);
  text += " GMT";
  return text;
}

}  // namespace gpu_telemetry::http
