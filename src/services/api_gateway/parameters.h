// What requests say in their query strings, read and checked. Every error is kInvalid and names the
// parameter, what it was, and what would be right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "domain/time.h"
#include "http/message.h"
#include "storage/gpu_repository.h"

namespace gpu_telemetry::services {

// The one value of a parameter; empty when it was not given. Of two, neither is the obvious one.
Result<std::optional<std::string_view>> only_value(const http::Request& request,
                                                   std::string_view name);

// A whole number from 1 to `most`; empty when it was not given.
Result<std::optional<std::uint64_t>> parse_limit(const http::Request& request, std::uint64_t most);

// start_time and end_time, rounded inwards to milliseconds.
struct TimeRange {
  Timestamp start = Timestamp::min();
  Timestamp end = Timestamp::max();
};
Result<TimeRange> parse_time_range(const http::Request& request);

// One RFC 3339 time; empty when it was not given.
Result<std::optional<Timestamp>> parse_time(const http::Request& request, std::string_view name,
                                            Rounding rounding);

// A duration of at least 1 ms; empty when it was not given.
Result<std::optional<Milliseconds>> parse_step(const http::Request& request);

// Every metric_name, as the catalogue stores it, sorted, each once.
Result<std::vector<std::string>> parse_metrics(const http::Request& request, std::size_t most);

// hostname, model_name, namespace, pod and container, each repeatable.
storage::GpuFilter parse_filter(const http::Request& request);

// One of `choices`; empty when it was not given.
Result<std::optional<std::string_view>> parse_choice(const http::Request& request,
                                                     std::string_view name,
                                                     std::span<const std::string_view> choices);

}  // namespace gpu_telemetry::services
