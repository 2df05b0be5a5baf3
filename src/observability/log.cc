#include "observability/log.h"

#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "observability/log_text.h"

namespace gpu_telemetry::observability {
namespace {

// Takes finished lines and hands each to the kernel in one write: unlike spdlog's own sinks it does
// not pass through stdio, so that a line is never split at a buffer's end.
class StandardErrorSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const char* data = line.payload.data();
    std::size_t left = line.payload.size();
    while (left > 0) {
      const ssize_t written = ::write(STDERR_FILENO, data, left);
      if (written >= 0) {
        data += written;
        left -= static_cast<std::size_t>(written);
      } else if (errno != EINTR && !(errno == EAGAIN && wait_for_room())) {
        return;  // nowhere left to complain
      }
    }
  }
  void flush_() override {}

 private:
  static bool wait_for_room() {
    pollfd standard_error{STDERR_FILENO, POLLOUT, 0};
    return ::poll(&standard_error, 1, 1000) == 1;
  }
};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

struct Logging {
  spdlog::logger logger{"", std::make_shared<StandardErrorSink>()};
  bool json = true;
  bool coloured = false;
  std::string service;

  Logging() { configure(LogLevel::kInfo, LogFormat::kAuto, ""); }

  void configure(LogLevel level, LogFormat format, std::string name) {
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    const char* no_color = std::getenv("NO_COLOR");
    logger.set_level(spdlog_level(level));
    json = format == LogFormat::kJson || (format == LogFormat::kAuto && !terminal);
    coloured = terminal && (no_color == nullptr || *no_color == '\0');
    service = std::move(name);
  }

  void write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    const Timestamp now = system_clock().now();
    const std::string line = json ? json_log_line(now, level, service, message, fields)
                                  : text_log_line(now, level, message, fields, coloured);
    logger.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
  }
};

// Never destroyed: threads and static objects may log until the very end.
Logging& logging() {
  static Logging& instance = *new Logging;
  return instance;
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kWords{{
      {"debug", LogLevel::kDebug},
      {"info", LogLevel::kInfo},
      {"warn", LogLevel::kWarn},
      {"error", LogLevel::kError},
  }};
  for (const auto& [word, level] : kWords) {
    if (text == word) return level;
  }
  return invalid("unknown log level '" + std::string(text.substr(0, 40)) +
                 "': expected debug, info, warn or error");
}

LogField::LogField(std::string_view name, double value) : name_(name) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  text_.assign(text, end);
  bare_ = std::isfinite(value);  // JSON has no word for the others
}

void configure_logging(LogLevel level, LogFormat format, std::string service) {
  logging().configure(level, format, std::move(service));
}

bool log_enabled(LogLevel level) { return logging().logger.should_log(spdlog_level(level)); }

void log_line(LogLevel level, std::string_view message, LogFields fields) {
  if (!log_enabled(level)) return;
  logging().write(level, message, {fields.begin(), fields.size()});
}

void log_debug(std::string_view message, LogFields fields) {
  log_line(LogLevel::kDebug, message, fields);
}
void log_info(std::string_view message, LogFields fields) {
  log_line(LogLevel::kInfo, message, fields);
}
void log_warn(std::string_view message, LogFields fields) {
  log_line(LogLevel::kWarn, message, fields);
}
void log_error(std::string_view message, LogFields fields) {
  log_line(LogLevel::kError, message, fields);
}

void LogLimiter::log(LogLevel level, std::string_view message, LogFields fields) {
  if (!log_enabled(level)) return;
  log_at(std::chrono::steady_clock::now(), level, message, fields);
}

void LogLimiter::log_at(std::chrono::steady_clock::time_point now, LogLevel level,
                        std::string_view message, LogFields fields) {
  if (!log_enabled(level)) return;
  const std::int64_t time =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  std::int64_t start = window_start_.load();
  // The thread that moves the window empties it. A line of another thread between the two steps may
  // be counted in the wrong window; that costs or saves one line.
  if ((start == INT64_MIN || time - start >= period_.count()) &&
      window_start_.compare_exchange_strong(start, time)) {
    in_window_ = 0;
  }
  if (in_window_.fetch_add(1) >= burst_) {
    ++suppressed_;
    return;
  }
  const std::uint64_t suppressed = suppressed_.exchange(0);
  if (suppressed == 0) return logging().write(level, message, {fields.begin(), fields.size()});
  std::vector<LogField> with_count(fields);
  with_count.emplace_back("suppressed", suppressed);
  logging().write(level, message, with_count);
}

}  // namespace gpu_telemetry::observability
