// Whether an aggregate can be answered.
#pragma once

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage {

// kInvalid when the step is not positive or there would be more than kMaxBuckets buckets.
Result<void> check_aggregate(const AggregateQuery& query);

}  // namespace gpu_telemetry::storage
