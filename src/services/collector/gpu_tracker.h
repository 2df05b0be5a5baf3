// Decides which GPU records are worth writing: those that changed, and `last_seen` now and then.
#pragma once

#include <chrono>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "domain/clock.h"
#include "domain/telemetry_batch.h"
#include "storage/gpu_repository.h"

namespace gpu_telemetry::services {

// Thread-safe. Memory is one entry for each GPU seen.
class GpuTracker {
 public:
  // `refresh`: how long a GPU whose attributes stay the same may go without being written.
  GpuTracker(const Clock& clock, std::chrono::milliseconds refresh)
      : clock_(clock), refresh_(refresh) {}

  // Takes note of the batches' scrapes and returns the observations that are due. They stay due
  // until `recorded` says that storage has them, so a failed write loses none.
  std::vector<storage::GpuObservation> observe(std::span<const TelemetryBatch> batches);

  // Everything not written yet, due or not. For the end of a collector.
  std::vector<storage::GpuObservation> pending();

  void recorded(std::span<const storage::GpuObservation> observations);

 private:
  struct Entry {
    // Scrapes since the last write, one span for each run of equal attributes, in order of arrival.
    std::vector<storage::GpuObservation> pending;
    GpuPointer written;  // the attributes that storage has; null: none
    SteadyTime written_at{};
  };

  void note(const GpuPointer& gpu, Timestamp time);
  bool due(const Entry& entry, SteadyTime now) const;

  const Clock& clock_;
  const std::chrono::milliseconds refresh_;
  std::mutex mutex_;
  std::unordered_map<GpuUuid, Entry> entries_;  // guarded by mutex_
};

}  // namespace gpu_telemetry::services
