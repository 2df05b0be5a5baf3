#include "services/api_gateway/parameters.h"

#include <algorithm>
#include <charconv>

#include "domain/duration.h"
#include "domain/metric_catalogue.h"
#include "domain/telemetry_batch.h"

namespace gpu_telemetry::services {
namespace {

// A `+` that was not percent-encoded arrives as a space. Where an offset must stand it can have
// been nothing else: `2025-07-18T20:42:34 02:00`.
std::string with_plus_restored(std::string_view time) {
  constexpr std::size_t kOffsetSize = 6;  // +02:00
  constexpr std::size_t kLocalSize = 19;  // 2025-07-18T20:42:34
  std::string text(time);
  if (text.size() < kLocalSize + kOffsetSize) return text;
  char& sign = text[text.size() - kOffsetSize];
  if (sign == ' ') sign = '+';
  return text;
}

std::string shortened(std::string_view text) {
  constexpr std::size_t kShown = 40;
  if (text.size() <= kShown) return "'" + std::string(text) + "'";
  return "'" + std::string(text.substr(0, kShown)) + "...'";
}

std::vector<std::string> all_values(const http::Request& request, std::string_view name) {
  std::vector<std::string> values;
  for (const std::string_view value : request.query.get_all(name)) values.emplace_back(value);
  return values;
}

}  // namespace

Result<std::optional<std::string_view>> only_value(const http::Request& request,
                                                   std::string_view name) {
  const auto values = request.query.get_all(name);
  if (values.size() > 1) {
    return invalid(std::string(name) + ": given " + std::to_string(values.size()) +
                   " times; expected once");
  }
  if (values.empty()) return std::optional<std::string_view>();
  return std::optional<std::string_view>(values.front());
}

Result<std::optional<std::uint64_t>> parse_limit(const http::Request& request, std::uint64_t most) {
  const auto given = only_value(request, "limit");
  if (!given) return given.error();
  const auto text = *given;
  if (!text) return std::optional<std::uint64_t>();
  std::uint64_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error != std::errc{} || end != text->data() + text->size() || limit < 1 || limit > most) {
    return invalid("limit: " + shortened(*text) + " is not a whole number from 1 to " +
                   std::to_string(most));
  }
  return std::optional<std::uint64_t>(limit);
}

Result<std::optional<Timestamp>> parse_time(const http::Request& request, std::string_view name,
                                            Rounding rounding) {
  const auto text = only_value(request, name);
  if (!text) return text.error();
  if (!*text) return std::optional<Timestamp>();
  const auto time = parse_rfc3339(with_plus_restored(**text), rounding);
  if (!time) return time.error().at(name);
  return std::optional<Timestamp>(*time);
}

Result<TimeRange> parse_time_range(const http::Request& request) {
  const auto start = parse_time(request, "start_time", Rounding::kUp);
  if (!start) return start.error();
  const auto end = parse_time(request, "end_time", Rounding::kDown);
  if (!end) return end.error();
  TimeRange range;
  range.start = start->value_or(range.start);
  range.end = end->value_or(range.end);
  // Compared as they were written: rounding to milliseconds may cross two times that are equal.
  const auto written = parse_time(request, "start_time", Rounding::kDown);
  if (written && *written && **written > range.end) {
    return invalid("start_time: lies after end_time");
  }
  return range;
}

Result<std::optional<Milliseconds>> parse_step(const http::Request& request) {
  const auto text = only_value(request, "step");
  if (!text) return text.error();
  if (!*text) return std::optional<Milliseconds>();
  const auto step = parse_duration(**text);
  if (!step) return step.error().at("step");
  const auto whole = std::chrono::floor<Milliseconds>(*step);
  if (whole.count() < 1 || whole != *step) {
    return invalid("step: " + shortened(**text) +
                   " is not a whole number of milliseconds, at least 1ms; such as 10s or 5m");
  }
  return std::optional<Milliseconds>(whole);
}

Result<std::vector<std::string>> parse_metrics(const http::Request& request, std::size_t most) {
  const auto given = request.query.get_all("metric_name");
  if (given.size() > most) {
    return invalid("metric_name: " + std::to_string(given.size()) + " of them; at most " +
                   std::to_string(most));
  }
  std::vector<std::string> metrics;
  for (const std::string_view name : given) {
    if (!is_valid_metric_name(name)) {
      return invalid("metric_name: " + shortened(name) +
                     " is not a metric's name; letters, digits, '_' and ':' such as "
                     "DCGM_FI_DEV_GPU_TEMP");
    }
    metrics.emplace_back(canonical_metric_name(name));
  }
  std::sort(metrics.begin(), metrics.end());
  metrics.erase(std::unique(metrics.begin(), metrics.end()), metrics.end());
  return metrics;
}

storage::GpuFilter parse_filter(const http::Request& request) {
  storage::GpuFilter filter;
  filter.hostname = all_values(request, "hostname");
  filter.model_name = all_values(request, "model_name");
  filter.pod_namespace = all_values(request, "namespace");
  filter.pod = all_values(request, "pod");
  filter.container = all_values(request, "container");
  return filter;
}

Result<std::optional<std::string_view>> parse_choice(const http::Request& request,
                                                     std::string_view name,
                                                     std::span<const std::string_view> choices) {
  const auto text = only_value(request, name);
  if (!text) return text.error();
  if (!*text) return std::optional<std::string_view>();
  const auto found = std::find(choices.begin(), choices.end(), **text);
  if (found != choices.end()) return std::optional<std::string_view>(*found);
  std::string known;
  for (const std::string_view choice : choices) {
    if (!known.empty()) known += ", ";
    known += choice;
  }
  return invalid(std::string(name) + ": " + shortened(**text) + " is none of " + known);
}

}  // namespace gpu_telemetry::services
