// Turns columns (one series each) into rows in the order of an answer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/embedded/samples.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// Appends every sample of `columns` to `out`, by timestamp in `order`, ties by ascending index of
// the column, which becomes StoredSample::metric. Columns with equal timestamps, the usual case for
// the metrics of one scrape, are walked together.
void interleave(std::span<const Samples> columns, Order order, std::vector<StoredSample>& out);

}  // namespace gpu_telemetry::storage::embedded
