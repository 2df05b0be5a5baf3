// Members of JSON answers, and what many answers have in them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/gpu.h"
#include "domain/metric_catalogue.h"
#include "domain/time.h"
#include "services/api_gateway/freshness.h"

namespace gpu_telemetry::services {

// `"name":value` after a comma unless an object has just begun; a number that is not finite is
// null.
void append_number_member(std::string& out, std::string_view name, double value);
void append_count_member(std::string& out, std::string_view name, std::uint64_t value);
void append_bool_member(std::string& out, std::string_view name, bool value);
void append_null_member(std::string& out, std::string_view name);
void append_time_member(std::string& out, std::string_view name, Timestamp time);
// Seconds, with up to three decimals.
void append_seconds_member(std::string& out, std::string_view name, Milliseconds duration);
// Appends a comma unless an array has just begun.
void separate(std::string& out);

// The members `times` (Unix milliseconds) and `values` of one series after another. Many series of
// a document have the same times, or one of a few: what was written of them once is copied.
class SeriesMembers {
 public:
  // As many values as times.
  void append(std::string& out, std::span<const std::int64_t> times,
              std::span<const double> values);

 private:
  struct Written {
    std::vector<std::int64_t> times;
    std::string text;
  };

  const std::string& text_of(std::span<const std::int64_t> times);

  std::vector<Written> written_;
  std::size_t next_ = 0;  // to be forgotten
};

// `state`, `age_seconds` and `scrape_interval_seconds`.
void append_freshness(std::string& out, const Freshness& freshness);

// The object of one GPU, the same wherever it is shown.
void append_gpu(std::string& out, const GpuRecord& record, const Freshness& freshness);

// What the catalogue says of a metric; a metric that is not in it is a gauge without a unit.
std::string_view unit_of(std::string_view metric);
std::string_view kind_of(std::string_view metric);
std::string_view help_of(std::string_view metric);
bool is_counter(std::string_view metric);

}  // namespace gpu_telemetry::services
