// Whether a batch keeps its promises (domain/telemetry_batch.h).
#pragma once

#include "domain/result.h"
#include "domain/telemetry_batch.h"

namespace gpu_telemetry::storage {

// kInvalid with the first invariant that does not hold, or when a scrape is later than `latest`,
// the last time that the store can write.
Result<void> check_batch(const TelemetryBatch& batch, Timestamp latest);

}  // namespace gpu_telemetry::storage
