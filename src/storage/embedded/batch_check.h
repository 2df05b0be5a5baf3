// Whether a batch keeps its promises (domain/telemetry_batch.h).
#pragma once

#include "domain/result.h"
#include "domain/telemetry_batch.h"

namespace gpu_telemetry::storage::embedded {

// kInvalid with the first invariant that does not hold.
Result<void> check_batch(const TelemetryBatch& batch);

}  // namespace gpu_telemetry::storage::embedded
