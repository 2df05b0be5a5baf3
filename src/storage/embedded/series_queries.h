// The questions that are answered in one piece: aggregates, newest samples, presence of metrics.
#pragma once

#include <vector>

#include "domain/result.h"
#include "storage/embedded/sample_cursor.h"
#include "storage/embedded/version.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// Contracts as in TelemetryRepository.
Result<std::vector<GpuBuckets>> aggregate_series(const ReadContext& context,
                                                 const AggregateQuery& query,
                                                 const DamageReport& report_damage);
Result<std::vector<LatestSample>> latest_samples(const ReadContext& context, const GpuUuid& gpu,
                                                 const DamageReport& report_damage);
Result<std::vector<MetricPresence>> metric_presence(const ReadContext& context, const GpuUuid& gpu,
                                                    const DamageReport& report_damage);

}  // namespace gpu_telemetry::storage::embedded
