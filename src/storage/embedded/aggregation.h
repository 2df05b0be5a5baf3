// Buckets of time, and what a column's values come to in them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/embedded/column_codec.h"
#include "storage/embedded/series_file.h"

namespace gpu_telemetry::storage::embedded {

// The samples [begin, end) of a column that lie in one bucket; not empty.
struct BucketSlice {
  std::int64_t bucket_start = 0;
  std::int64_t last_timestamp = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Replaces `slices` with the buckets of `step` milliseconds, aligned to the epoch, of those of
// `timestamps` (ascending) that lie in [start, end]. The first of them is the column's sample
// number `first_index`.
void slice_buckets(std::span<const std::int64_t> timestamps, std::uint64_t first_index,
                   std::int64_t start, std::int64_t end, std::int64_t step,
                   std::vector<BucketSlice>& slices);

// Appends an aggregate for each slice, or extends the last of `out` where it is the same bucket.
// Sums of scaled integers are exact until the one rounding at their end.
void aggregate_column(const EncodedColumn& column, std::span<const BucketSlice> slices,
                      std::vector<ColumnAggregate>& out);
void aggregate_constant(double value, std::span<const BucketSlice> slices,
                        std::vector<ColumnAggregate>& out);

}  // namespace gpu_telemetry::storage::embedded
