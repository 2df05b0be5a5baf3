// The GPUs of a store: their records in memory, everything durable in the catalogue.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <vector>

#include "storage/embedded/catalogue.h"
#include "storage/gpu_repository.h"

namespace gpu_telemetry::storage::embedded {

// Contracts as in GpuRepository. Thread-safe. Of each GPU's timeline only the newest interval is in
// memory: nearly every observation extends it or comes after it.
class GpuRegistry {
 public:
  // `catalogue` outlives it. Errors: as Catalogue.
  static Result<std::unique_ptr<GpuRegistry>> load(Catalogue& catalogue);

  Result<void> observe(std::span<const GpuObservation> observations);
  GpuPage list(const GpuFilter& filter, std::optional<GpuUuid> after, std::uint64_t limit) const;
  Result<GpuRecord> find(const GpuUuid& uuid) const;
  Result<std::vector<AttributionInterval>> attribution(const GpuUuid& uuid, Timestamp start,
                                                       Timestamp end) const;
  Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force(
      std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) const;

  // Forgets intervals that ended before `before`, but the newest of each GPU.
  Result<void> prune(Timestamp before);

  // Makes the GPU known with empty attributes, unless it is known: when a lost catalogue is
  // rebuilt.
  Result<void> restore(std::span<const GpuRecord> records);

 private:
  struct Entry {
    GpuRecord record;
    std::optional<AttributionInterval> newest;
  };
  struct Change;

  explicit GpuRegistry(Catalogue& catalogue) : catalogue_(catalogue) {}
  static Result<void> apply(Database& database, const GpuObservation& observation, Change& change);

  Catalogue& catalogue_;
  std::mutex observers_;  // of who changes gpus_, until that is durable
  mutable std::shared_mutex mutex_;
  std::map<GpuUuid, Entry> gpus_;  // guarded by mutex_; it changes with observers_ held too
};

}  // namespace gpu_telemetry::storage::embedded
