// Samples out of `telemetry_points`, each query as one range scan of the index of `_id`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/mongodb/connections.h"
#include "storage/mongodb/metric_registry.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::mongodb {

// A find: its filter and its options (sort, projection, batchSize, limit).
struct PointFind {
  Document filter;
  Document options;
};

// How many documents and samples are in memory at a time, about.
inline constexpr std::uint32_t kDefaultBlock = 1000;

// `metrics`: those that the answer may have, sorted; `filtered` when a point may have others.
PointFind make_point_find(const SampleQuery& query, std::span<const std::string> metrics,
                          bool filtered, std::uint32_t block = kDefaultBlock);

// `metrics` as above. Errors: as TelemetryRepository::query.
Result<std::unique_ptr<SampleCursor>> find_points(Connection connection, const SampleQuery& query,
                                                  std::vector<std::string> metrics, bool filtered,
                                                  std::uint32_t block = kDefaultBlock);

// The newest (or oldest) sample of each of the metrics, sorted by metric; those that have none any
// more are left out.
Result<std::vector<LatestSample>> outermost_samples(const ConnectionPool& pool, const GpuUuid& gpu,
                                                    std::span<const MetricHours> metrics,
                                                    Order order);

// Adds the range [start, end] of a GPU to a filter, as a condition on `_id`.
void add_id_range(Document& filter, const GpuUuid& gpu, Timestamp start, Timestamp end);

}  // namespace gpu_telemetry::storage::mongodb
