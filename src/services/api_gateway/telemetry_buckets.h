// One GPU's samples taken together in buckets of time, as a cursor like that of the samples.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// avg, min, max, last, count, rate, increase; nothing for any other word.
std::optional<storage::Combine> combine_of(std::string_view word);

// What a metric's samples are taken together by when nothing was said: a counter's rate, a gauge's
// mean.
storage::Combine default_combine(std::string_view metric);

// The unit of what comes of it.
std::string unit_of(std::string_view metric, storage::Combine combine);

struct BucketQuestion {
  GpuUuid gpu;
  // Inclusive; buckets of samples in it.
  Timestamp start;
  Timestamp end;
  Milliseconds step{60'000};
  std::optional<storage::Combine> combine;  // nothing: each metric's default
  std::vector<std::string> metrics;         // sorted
  storage::Order order = storage::Order::kNewestFirst;
  std::optional<storage::SampleKey> after;
};

// Samples stamped with their bucket's start. Asks the repository for so many buckets at a time that
// little lies in memory. `telemetry` outlives it.
std::unique_ptr<storage::SampleCursor> open_buckets(storage::TelemetryRepository& telemetry,
                                                    BucketQuestion question);

// kInvalid when [start, end] has more than storage::kMaxBuckets buckets, saying which step would
// do.
Result<void> check_buckets(Timestamp start, Timestamp end, Milliseconds step, std::uint64_t most);

}  // namespace gpu_telemetry::services
