// The queue's numbers as metrics.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::services {

// Thread-safe.
class QueueGauges {
 public:
  explicit QueueGauges(observability::Metrics& metrics) : metrics_(metrics) {}
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
