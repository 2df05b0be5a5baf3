// What many GPUs are doing now: newest values, and how often each is scraped.
#pragma once

#include <span>
#include <vector>

#include "storage/mongodb/connections.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::mongodb {

// Contracts as TelemetryRepository::latest_values and scrape_intervals.
Result<LatestTable> latest_point_values(const Connection& connection, const LatestQuery& query);
Result<std::vector<Milliseconds>> point_intervals(const Connection& connection,
                                                  std::span<const GpuUuid> gpus);

}  // namespace gpu_telemetry::storage::mongodb
