// What many GPUs are doing now: newest values, and how often each is scraped.
#pragma once

#include <span>
#include <vector>

#include "domain/result.h"
#include "storage/embedded/sample_cursor.h"
#include "storage/embedded/version.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// Contracts as TelemetryRepository::latest_values and scrape_intervals.
Result<LatestTable> fleet_values(const ReadContext& context, const LatestQuery& query,
                                 const DamageReport& report_damage);
Result<std::vector<Milliseconds>> fleet_intervals(const ReadContext& context,
                                                  std::span<const GpuUuid> gpus,
                                                  const DamageReport& report_damage);

}  // namespace gpu_telemetry::storage::embedded
