// Logs: human text on a terminal, one JSON object a line otherwise, always on standard error.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "domain/result.h"

namespace gpu_telemetry::observability {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
// Errors: kInvalid, naming the four words.
Result<LogLevel> parse_log_level(std::string_view text);

enum class LogFormat { kAuto, kText, kJson };  // kAuto: text when standard error is a terminal

// Called once, before threads start; until then lines from kInfo up are written as kAuto decides.
// `service` is a member of every JSON line. Text is coloured on a terminal unless NO_COLOR is set.
void configure_logging(LogLevel level, LogFormat format, std::string service);
bool log_enabled(LogLevel level);

// A member of a log line. Numbers stay numbers in JSON. A secret never goes in one.
class LogField {
 public:
  LogField(std::string_view name, std::string_view value) : name_(name), text_(value) {}
  LogField(std::string_view name, const char* value) : name_(name), text_(value) {}
  LogField(std::string_view name, const std::string& value) : name_(name), text_(value) {}
  LogField(std::string_view name, bool value)
      : name_(name), text_(value ? "true" : "false"), bare_(true) {}
  template <std::integral T>
  LogField(std::string_view name, T value)
      : name_(name), text_(std::to_string(value)), bare_(true) {}
  LogField(std::string_view name, double value);

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  bool bare() const { return bare_; }  // written without quotes

 private:
  std::string name_;
  std::string text_;
  bool bare_ = false;
};

using LogFields = std::initializer_list<LogField>;

// Each line leaves in one write, so lines of several threads or processes do not mix. A line that
// standard error does not take within a second is lost. Bytes that are not UTF-8 are written as
// U+FFFD and control characters escaped, so that what somebody sent cannot forge a line.
//
// Thread-safe. Name the fields of a call inside a coroutine outside of any co_await expression.
void log_line(LogLevel level, std::string_view message, LogFields fields = {});
void log_debug(std::string_view message, LogFields fields = {});
void log_info(std::string_view message, LogFields fields = {});
void log_warn(std::string_view message, LogFields fields = {});
void log_error(std::string_view message, LogFields fields = {});

// Lets a repeated line through `burst` times each `period`, and says with the next one how many
// were held back. One object for each place that can repeat; thread-safe.
class LogLimiter {
 public:
  explicit LogLimiter(std::uint32_t burst = 5,
                      std::chrono::milliseconds period = std::chrono::seconds{10})
      : burst_(burst), period_(period) {}
  // As log_line, with a field "suppressed" when lines were held back since the last one.
  void log(LogLevel level, std::string_view message, LogFields fields = {});
  // The same at a time that the caller gives.
  void log_at(std::chrono::steady_clock::time_point now, LogLevel level, std::string_view message,
              LogFields fields = {});

 private:
  const std::uint32_t burst_;
  const std::chrono::milliseconds period_;
  std::atomic<std::int64_t> window_start_{INT64_MIN};
  std::atomic<std::uint32_t> in_window_{0};
  std::atomic<std::uint64_t> suppressed_{0};
};

}  // namespace gpu_telemetry::observability
