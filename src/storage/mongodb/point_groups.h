// Buckets of groups of GPUs, added up by the servers as far as a group's GPUs travel together.
#pragma once

#include <vector>

#include "storage/mongodb/connections.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::mongodb {

// As TelemetryRepository::aggregate_groups, of a query that check_groups accepts.
Result<std::vector<GroupSeries>> aggregate_point_groups(const Connection& connection,
                                                        const GroupQuery& query);

}  // namespace gpu_telemetry::storage::mongodb
