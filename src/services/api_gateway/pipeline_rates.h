// How fast the pipeline goes, told from counters that are looked at now and then.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"

namespace gpu_telemetry::services {

// Counters that only grow, as they are now; nothing where they cannot be told.
struct PipelineCounts {
  std::optional<std::uint64_t> published;
  std::optional<std::uint64_t> acked;
  std::optional<std::uint64_t> stored;
};

// In a second.
struct PipelineRates {
  std::optional<double> published;
  std::optional<double> acked;
  std::optional<double> stored;
};

// Thread-safe.
class PipelineHistory {
 public:
  // Takes the counts down, and tells the rates since the earliest that were taken down in the last
  // 30 s; when there are none, since those before. A counter that fell has begun again: no rate.
  PipelineRates add(const PipelineCounts& counts, SteadyTime now);

 private:
  struct Entry {
    SteadyTime time;
    PipelineCounts counts;
  };
  concurrency::Mutex mutex_;
  std::deque<Entry> entries_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace gpu_telemetry::services
