// Buckets of time, and what a column's values come to in them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/embedded/column_codec.h"
#include "storage/embedded/series_file.h"

namespace gpu_telemetry::storage::embedded {

// The buckets that samples of a timestamp vector lie in.
struct BucketSlices {
  // Bucket i holds the column's samples [bounds[i], bounds[i + 1]), never none.
  std::vector<std::uint64_t> bounds;
  // The aggregates as far as the timestamps tell them: start and count.
  std::vector<Bucket> frames;
  // The counts again, and then ones, for fill_narrow_totals.
  std::vector<std::int32_t> counts;
  std::uint64_t longest = 0;  // samples of a bucket, at most
};

// Replaces `slices` with the buckets of `step` milliseconds, aligned to the epoch, of those of
// `timestamps` (ascending) that lie in [start, end]. The first of `timestamps` is the column's
// sample number `first_index`.
void slice_buckets(std::span<const std::int64_t> timestamps, std::uint64_t first_index,
                   std::int64_t start, std::int64_t end, std::int64_t step, BucketSlices& slices);

// Appends an aggregate for each bucket (there is one at least), or extends the last of `out` where
// it is the same bucket. Sums of scaled integers are exact until the one rounding at their end.
void aggregate_column(const EncodedColumn& column, const BucketSlices& slices,
                      std::vector<Bucket>& out);
void aggregate_constant(double value, const BucketSlices& slices, std::vector<Bucket>& out);

}  // namespace gpu_telemetry::storage::embedded
