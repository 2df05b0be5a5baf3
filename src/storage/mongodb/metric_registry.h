// Which metrics each GPU has, and from which hour to which: the collection `telemetry_metrics`.
//
// An answer's metric names must be known before its first sample is read, and the newest sample of
// a metric that is long gone must be found without reading all that came since. So before a point
// is stored, the hours of its metrics are; once an hour for each GPU and metric, not at each write.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "storage/mongodb/bulk_write.h"

namespace gpu_telemetry::storage::mongodb {

inline constexpr std::chrono::hours kRegistrySpan{1};

// The newest and the oldest reading of a metric lie within kRegistrySpan from these, unless they
// have expired or were never stored: then later than `first` or earlier than `last`.
struct MetricHours {
  std::string metric;
  Timestamp first;
  Timestamp last;
};

// What is about to be stored of one GPU.
struct MetricTimes {
  std::uint32_t metric = 0;  // index into the names that come with it
  Timestamp first;
  Timestamp last;
};
struct GpuMetricTimes {
  GpuUuid gpu;
  std::vector<MetricTimes> metrics;
};

// Thread-safe.
class MetricRegistry {
 public:
  // Makes it known, in the database, unless this process has done so before. Errors: as
  // Connection::error.
  Result<void> record(const Connection& connection, const WriteConcern& concern,
                      std::span<const GpuMetricTimes> gpus,
                      std::span<const std::string_view> names);

  // Sorted by name. An unknown GPU has none.
  static Result<std::vector<MetricHours>> read(const Connection& connection, const GpuUuid& gpu);

  // Of all GPUs, sorted.
  static Result<std::vector<std::string>> names(const Connection& connection);

  // Forgets what this process has made known: the server may have lost it.
  void forget();

 private:
  struct Hours {
    // Empty before the first record.
    Timestamp first = Timestamp::max();
    Timestamp last = Timestamp::min();
  };
  std::vector<std::uint32_t> ids_of(std::span<const std::string_view> names)
      GPU_TELEMETRY_REQUIRES(mutex_);

  concurrency::Mutex mutex_;
  std::unordered_map<std::string, std::uint32_t> ids_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  std::unordered_map<GpuUuid, std::vector<Hours>> known_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  std::uint64_t forgotten_ GPU_TELEMETRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace gpu_telemetry::storage::mongodb
