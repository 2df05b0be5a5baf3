// The queue's numbers as metrics.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "config/settings.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::services {

// Thread-safe.
class QueueGauges {
 public:
  // The limits are those of `settings`: BUFFER_SIZE of each topic, BUFFER_BYTES of all together.
  QueueGauges(observability::Metrics& metrics, const config::Settings& settings);
  void update(const std::vector<queue::TopicStatistics>& topics);

 private:
  void count(const std::string& name, const std::string& help, const observability::Labels& labels,
             std::uint64_t total) GPU_TELEMETRY_REQUIRES(mutex_);

  observability::Metrics& metrics_;
  concurrency::Mutex mutex_;
  std::map<std::pair<std::string, observability::Labels>, std::uint64_t> counted_
      GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace gpu_telemetry::services
