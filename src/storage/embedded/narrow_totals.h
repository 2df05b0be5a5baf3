// Sums, minima, maxima and last values of short buckets, taken from 32-bit integers eight buckets
// at a time. Needs AVX2 and FMA. Every result is the one correctly rounded from the exact number.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "storage/embedded/group_codec.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

bool has_narrow_totals();

struct NarrowRange {
  std::int64_t lowest = 0;  // no integer of the groups is less
};
// The range of groups without kKeys, if 32 bits hold a sum of `longest` integers less `lowest`, and
// a double that of `longest` integers times `unit`.
std::optional<NarrowRange> narrow_range(std::span<const Group> groups, std::uint64_t unit,
                                        std::uint64_t longest);

// Writes the group's integers less `lowest`, and room for kGroupSize.
void decode_group_narrow(const Group& group, std::int64_t lowest, std::int32_t* out);

// A value is (integer + lowest) * unit / 10^exponent.
struct NarrowScale {
  std::int64_t lowest = 0;
  std::uint64_t unit = 1;
  unsigned exponent = 0;
};

// Integers that may be read, not used, behind the last.
inline constexpr std::size_t kNarrowPadding = 16;

// Buckets are taken so many at a time.
inline constexpr std::size_t kNarrowLanes = 8;

// Fills in all but start and count of the buckets. `integers` are those of the first, of the
// second, and so on; `counts` says how many each has, at most `longest`, and goes on with ones to a
// multiple of kNarrowLanes.
void fill_narrow_totals(const std::int32_t* integers, std::span<const std::int32_t> counts,
                        std::uint64_t longest, const NarrowScale& scale, std::span<Bucket> buckets);

}  // namespace gpu_telemetry::storage::embedded
