// One metric of groups of GPUs: buckets of each member, added up as they are made.
#pragma once

#include <vector>

#include "domain/result.h"
#include "storage/embedded/sample_cursor.h"
#include "storage/embedded/version.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// Contract as TelemetryRepository::aggregate_groups.
Result<std::vector<GroupSeries>> group_series(const ReadContext& context, const GroupQuery& query,
                                              const DamageReport& report_damage);

}  // namespace gpu_telemetry::storage::embedded
