// What the store tells /metrics about itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "observability/metrics.h"
#include "storage/embedded/embedded_store.h"

namespace gpu_telemetry::storage::embedded {

// Thread-safe. Without a registry it counts nothing.
class StoreMetrics {
 public:
  explicit StoreMetrics(observability::Metrics* metrics);
  ~StoreMetrics();
  StoreMetrics(const StoreMetrics&) = delete;
  StoreMetrics& operator=(const StoreMetrics&) = delete;

  // `statistics` is asked whenever the metrics are read, until stop_sampling.
  void sample(observability::Metrics* metrics, std::function<StoreStatistics()> statistics);
  void stop_sampling();

  void wrote(std::uint64_t samples, std::chrono::nanoseconds took);
  void sealed(std::uint64_t files, std::chrono::nanoseconds took);
  void merged(std::uint64_t inputs, std::chrono::nanoseconds took);
  void expired(std::uint64_t files);
  void damaged();

 private:
  struct Instruments;
  std::unique_ptr<Instruments> instruments_;  // null without a registry
};

}  // namespace gpu_telemetry::storage::embedded
