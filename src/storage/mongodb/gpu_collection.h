// GpuRepository on the collection `gpus`.
//
// Collectors write at the same time, so a document is changed only when its `version` is still the
// one that was read (compare and set); who comes second reads again and repeats, which an
// observation allows.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "storage/gpu_repository.h"
#include "storage/mongodb/bulk_write.h"
#include "storage/mongodb/connections.h"

namespace gpu_telemetry::storage::mongodb {

// Earlier intervals that a document keeps, the newest: a document has at most 16 MiB, and an
// interval at most 0.7 KB.
inline constexpr std::size_t kMostEarlier = 20'000;

// Contracts as in GpuRepository.
Result<void> observe_gpus(const Connection& connection, const WriteConcern& concern,
                          std::span<const GpuObservation> observations);
Result<GpuPage> list_gpus(const Connection& connection, const GpuFilter& filter,
                          std::optional<GpuUuid> after, std::uint64_t limit);
Result<GpuRecord> find_gpu(const Connection& connection, const GpuUuid& uuid);
Result<std::vector<AttributionInterval>> attribution_of(const Connection& connection,
                                                        const GpuUuid& uuid, Timestamp start,
                                                        Timestamp end);
Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force_of(
    const Connection& connection, std::span<const GpuUuid> uuids, Timestamp start, Timestamp end);

}  // namespace gpu_telemetry::storage::mongodb
