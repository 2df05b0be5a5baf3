// Buckets, which the servers compute.
#pragma once

#include "storage/mongodb/connections.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::mongodb {

// As TelemetryRepository::aggregate, of a query that check_aggregate accepts.
Result<std::vector<GpuBuckets>> aggregate_points(const Connection& connection,
                                                 const AggregateQuery& query);

}  // namespace gpu_telemetry::storage::mongodb
