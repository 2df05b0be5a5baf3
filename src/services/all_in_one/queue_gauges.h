// The queue's numbers as metrics.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "observability/metrics.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::services {

// Used by one thread at a time.
class QueueGauges {
 public:
  explicit QueueGauges(observability::Metrics& metrics) : metrics_(metrics) {}
  void update(const std::vector<queue::TopicStatistics>& topics);

 private:
  void count(const std::string& name, const std::string& help, const observability::Labels& labels,
             std::uint64_t total);

  observability::Metrics& metrics_;
  std::map<std::pair<std::string, observability::Labels>, std::uint64_t> counted_;
};

}  // namespace gpu_telemetry::services
