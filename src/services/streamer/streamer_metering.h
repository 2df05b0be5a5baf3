// What a streamer counts about itself.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "observability/metrics.h"
#include "sources/source.h"

namespace gpu_telemetry::services {

// The source's own counters are read when somebody asks. `metrics` and `source` outlive it.
class StreamerMetering {
 public:
  StreamerMetering(observability::Metrics& metrics, const sources::SourceCounters& source);

  prometheus::Counter& samples;
  prometheus::Counter& messages;
  prometheus::Counter& refusals;

 private:
  struct Watched {
    prometheus::Counter* counter;
    const std::atomic<std::uint64_t>* source;
    std::uint64_t seen;
  };

  void watch(prometheus::Counter& counter, const std::atomic<std::uint64_t>& source);
  void collect();

  std::vector<Watched> watched_;
  std::shared_ptr<observability::Metrics::Sampler> sampler_;
};

// Of a streamer that shares its source.
struct ShardMetering {
  explicit ShardMetering(observability::Metrics& metrics);

  prometheus::Gauge& held;
  prometheus::Counter& lost;
  prometheus::Counter& rebalances;
};

}  // namespace gpu_telemetry::services
