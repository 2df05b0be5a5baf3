// Whether an aggregate can be answered.
#pragma once

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage {

// kInvalid when the step is not positive or there would be more than kMaxBuckets buckets.
Result<void> check_aggregate(const AggregateQuery& query);

// The same, and kInvalid when groups times buckets are more than kMaxGroupBuckets.
inline constexpr std::uint64_t kMaxGroupBuckets = 5'000'000;
Result<void> check_groups(const GroupQuery& query);

}  // namespace gpu_telemetry::storage
