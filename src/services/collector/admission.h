// Keeps what a source may invent within bounds: how many GPUs and metrics storage comes to hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"
#include "domain/telemetry_batch.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

struct AdmissionLimits {
  std::uint64_t max_gpus = 250'000;   // GPUs that storage may hold, MIG instances included
  std::uint64_t max_metrics = 2'000;  // metric names, over all GPUs
};

// What was taken out of a batch, and why.
struct Refusal {
  std::uint64_t samples = 0;
  std::string reason;
};

// GPUs and metrics that storage holds already are always admitted, also past a limit that was
// lowered since. Thread-safe. Memory is one entry for each GPU and metric.
//
// Collectors that share a storage count what the others have stored; what several of them admit
// at the same moment may pass a limit by that much.
class Admission {
 public:
  // Everything passed by reference outlives it.
  Admission(AdmissionLimits limits, storage::GpuRepository& gpus,
            storage::TelemetryRepository& telemetry, const Clock& clock);

  // Takes out of the batch what would pass a limit; nothing when all of it is admitted. Asks
  // storage only about what it has not seen before, and may block. Errors: storage's.
  Result<std::optional<Refusal>> admit(TelemetryBatch& batch);

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  // What is known to be stored, or admitted.
  bool knows_all(const TelemetryBatch& batch);
  bool knows(const GpuUuid& gpu);
  bool knows(const std::string& metric);
  std::size_t known_gpus();
  std::size_t known_metrics();

  Result<void> learn_what_is_stored() GPU_TELEMETRY_REQUIRES(judging_);
  Result<void> learn_gpus() GPU_TELEMETRY_REQUIRES(judging_);
  Result<void> learn_metrics() GPU_TELEMETRY_REQUIRES(judging_);
  Result<std::vector<bool>> refused_gpus(const TelemetryBatch& batch)
      GPU_TELEMETRY_REQUIRES(judging_);
  Result<std::vector<bool>> refused_metrics(const TelemetryBatch& batch)
      GPU_TELEMETRY_REQUIRES(judging_);
  Result<bool> is_stored(const GpuUuid& gpu) GPU_TELEMETRY_REQUIRES(judging_);

  const AdmissionLimits limits_;
  storage::GpuRepository& gpus_;
  storage::TelemetryRepository& telemetry_;
  const Clock& clock_;

  // Held by who asks storage; only that one makes more known.
  concurrency::Mutex judging_;
  bool learned_ GPU_TELEMETRY_GUARDED_BY(judging_) = false;
  SteadyTime metrics_learned_at_ GPU_TELEMETRY_GUARDED_BY(judging_){};
  // GPUs that storage did not hold when it was asked, until it is asked again.
  std::unordered_set<GpuUuid> not_stored_ GPU_TELEMETRY_GUARDED_BY(judging_);
  SteadyTime not_stored_since_ GPU_TELEMETRY_GUARDED_BY(judging_){};

  concurrency::Mutex mutex_;
  std::unordered_set<GpuUuid> gpus_known_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  std::unordered_set<std::string, Hash, std::equal_to<>> metrics_known_
      GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace gpu_telemetry::services
