#include "storage/embedded/narrow_totals.h"

#include <algorithm>
#include <cstddef>

#include "storage/embedded/integer_scaling.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gpu_telemetry::storage::embedded {
namespace {

// Bases and steps up to here can be added up without a thought of overflow.
constexpr std::int64_t kLargestBase = std::int64_t{1} << 52;
constexpr std::int64_t kLargestStep = std::int64_t{1} << 40;
constexpr double kExact = 9007199254740992.0;    // 2^53
constexpr double kLargestNarrow = 2147483647.0;  // 2^31 - 1

// Bounds of a group's integers, not always the narrowest. False when they are too far from zero.
bool bounds_of(const Group& group, std::int64_t& low, std::int64_t& high) {
  const auto base = static_cast<std::int64_t>(group.base);
  if (group.coding == GroupCoding::kKeys || base > kLargestBase || base < -kLargestBase) {
    return false;
  }
  if (group.has_statistics) {
    const auto below = static_cast<std::int64_t>(group.below);
    const auto above = static_cast<std::int64_t>(group.above);
    low = base - std::clamp<std::int64_t>(below, 0, kLargestBase);
    high = base + std::clamp<std::int64_t>(above, 0, kLargestBase);
    return below <= kLargestStep && above <= kLargestStep;
  }
  if (group.width > 31) return false;
  const std::int64_t widest = (std::int64_t{1} << group.width) - 1;
  low = base;
  high = base + widest;
  if (group.coding == GroupCoding::kRange) return true;
  const auto step = static_cast<std::int64_t>(group.step);
  if (step > kLargestStep || step < -kLargestStep) return false;
  const std::int64_t steps = group.count - 1;
  low = base + std::min<std::int64_t>(0, step * steps);
  high = base + std::max<std::int64_t>(0, step * steps) + widest * group.count;
  return true;
}

}  // namespace

std::optional<NarrowRange> narrow_range(std::span<const Group> groups, std::uint64_t unit,
                                        std::uint64_t longest) {
  std::int64_t lowest = kLargestBase;
  std::int64_t highest = -kLargestBase;
  for (const Group& group : groups) {
    std::int64_t low = 0;
    std::int64_t high = 0;
    if (!bounds_of(group, low, high)) return std::nullopt;
    lowest = std::min(lowest, low);
    highest = std::max(highest, high);
  }
  const auto most = static_cast<double>(longest);
  if (static_cast<double>(highest - lowest) * most > kLargestNarrow) return std::nullopt;
  const auto farthest = static_cast<double>(std::max(highest, -lowest));
  if (farthest * most * static_cast<double>(unit) > kExact) return std::nullopt;
  return NarrowRange{lowest};
}

void decode_group_narrow(const Group& group, std::int64_t lowest, std::int32_t* out) {
  const std::uint64_t offset = group.base - static_cast<std::uint64_t>(lowest);
  if (group.coding == GroupCoding::kRange && group.count == kGroupSize && group.width <= 31) {
    unpack_narrow(group.payload, group.width, static_cast<std::uint32_t>(offset), out);
    return;
  }
  std::uint64_t integers[kGroupSize];
  decode_group(group, integers);
  for (std::size_t i = 0; i < group.count; ++i) {
    out[i] = static_cast<std::int32_t>(integers[i] - static_cast<std::uint64_t>(lowest));
  }
}

#if defined(__x86_64__)

static_assert(offsetof(Bucket, min) == offsetof(Bucket, sum) + 8 &&
              offsetof(Bucket, max) == offsetof(Bucket, sum) + 16 &&
              offsetof(Bucket, last) == offsetof(Bucket, sum) + 24);

namespace {

#define GPU_TELEMETRY_AVX2 __attribute__((target("avx2,fma")))

constexpr std::size_t kLanes = kNarrowLanes;

// Which integer of eight takes each place so that behind the last of a bucket it is repeated.
struct RepeatLast {
  alignas(32) std::int32_t index[kLanes + 1][kLanes];
};
constexpr RepeatLast repeat_last() {
  RepeatLast table{};
  for (std::int32_t count = 1; count <= static_cast<std::int32_t>(kLanes); ++count) {
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(kLanes); ++i) {
      table.index[count][i] = i < count ? i : count - 1;
    }
  }
  return table;
}
constexpr RepeatLast kRepeatLast = repeat_last();

// Of eight buckets, one in each lane.
struct EightTotals {
  __m256i sum;
  __m256i min;
  __m256i max;
  __m256i last;
};

// Rows of eight buckets to columns.
GPU_TELEMETRY_AVX2 inline void transpose(__m256i (&rows)[kLanes]) {
  __m256i pairs[kLanes];
  for (std::size_t i = 0; i < kLanes; i += 2) {
    pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  __m256i fours[kLanes];
  for (std::size_t i = 0; i < kLanes; i += 4) {
    fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (std::size_t i = 0; i < kLanes / 2; ++i) {
    rows[i] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31);
  }
}

// Buckets of one to eight integers.
GPU_TELEMETRY_AVX2 inline EightTotals short_totals(const std::int32_t*& integers,
                                                   const std::int32_t* counts) {
  __m256i columns[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    const auto index =
        _mm256_load_si256(reinterpret_cast<const __m256i*>(kRepeatLast.index[counts[i]]));
    const auto row = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(integers));
    columns[i] = _mm256_permutevar8x32_epi32(row, index);
    integers += counts[i];
  }
  transpose(columns);
  EightTotals totals{columns[0], columns[0], columns[0], columns[kLanes - 1]};
  for (std::size_t i = 1; i < kLanes; ++i) {
    totals.sum = _mm256_add_epi32(totals.sum, columns[i]);
    totals.min = _mm256_min_epi32(totals.min, columns[i]);
    totals.max = _mm256_max_epi32(totals.max, columns[i]);
  }
  // The repetitions of the last come off again.
  const auto taken = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(counts));
  const __m256i repeated = _mm256_sub_epi32(_mm256_set1_epi32(kLanes), taken);
  totals.sum = _mm256_sub_epi32(totals.sum, _mm256_mullo_epi32(repeated, totals.last));
  return totals;
}

// Buckets of any size. The sums do not overflow unless the bytes are forged; unsigned, then, so
// that forged ones are no more than wrong.
GPU_TELEMETRY_AVX2 EightTotals long_totals(const std::int32_t*& integers,
                                           const std::int32_t* counts) {
  alignas(32) std::int32_t totals[4][kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    std::uint32_t sum = 0;
    std::int32_t min = integers[0];
    std::int32_t max = integers[0];
    for (std::int32_t k = 0; k < counts[i]; ++k) {
      sum += static_cast<std::uint32_t>(integers[k]);
      min = std::min(min, integers[k]);
      max = std::max(max, integers[k]);
    }
    totals[0][i] = static_cast<std::int32_t>(sum);
    totals[1][i] = min;
    totals[2][i] = max;
    totals[3][i] = integers[counts[i] - 1];
    integers += counts[i];
  }
  const auto load = reinterpret_cast<const __m256i*>(totals);
  return {_mm256_load_si256(load), _mm256_load_si256(load + 1), _mm256_load_si256(load + 2),
          _mm256_load_si256(load + 3)};
}

struct Scaling {
  __m256d lowest;
  __m256d unit;
  __m256d power;
  __m256d reciprocal;
  bool whole;  // nothing to divide by
};

// (integer + times * lowest) * unit / power. All but the division is exact; that is rounded once,
// as integer_scaling.cc explains.
GPU_TELEMETRY_AVX2 inline __m256d scaled(__m128i integers, __m256d times, const Scaling& scaling) {
  const __m256d moved = _mm256_fmadd_pd(times, scaling.lowest, _mm256_cvtepi32_pd(integers));
  const __m256d value = _mm256_mul_pd(moved, scaling.unit);
  if (scaling.whole) return value;
  const __m256d quotient = _mm256_mul_pd(value, scaling.reciprocal);
  const __m256d remainder = _mm256_fnmadd_pd(quotient, scaling.power, value);
  return _mm256_fmadd_pd(remainder, scaling.reciprocal, quotient);
}

// Four buckets: their totals become rows of sum, minimum, maximum, last.
GPU_TELEMETRY_AVX2 inline void scaled_rows(__m128i sum, __m128i min, __m128i max, __m128i last,
                                           __m128i counts, const Scaling& scaling,
                                           __m256d (&rows)[4]) {
  const __m256d one = _mm256_set1_pd(1);
  const __m256d a = scaled(sum, _mm256_cvtepi32_pd(counts), scaling);
  const __m256d b = scaled(min, one, scaling);
  const __m256d c = scaled(max, one, scaling);
  const __m256d d = scaled(last, one, scaling);
  const __m256d ab_low = _mm256_unpacklo_pd(a, b);
  const __m256d ab_high = _mm256_unpackhi_pd(a, b);
  const __m256d cd_low = _mm256_unpacklo_pd(c, d);
  const __m256d cd_high = _mm256_unpackhi_pd(c, d);
  rows[0] = _mm256_permute2f128_pd(ab_low, cd_low, 0x20);
  rows[1] = _mm256_permute2f128_pd(ab_high, cd_high, 0x20);
  rows[2] = _mm256_permute2f128_pd(ab_low, cd_low, 0x31);
  rows[3] = _mm256_permute2f128_pd(ab_high, cd_high, 0x31);
}

GPU_TELEMETRY_AVX2 void fill(const std::int32_t* integers, const std::int32_t* counts,
                             std::uint64_t longest, const NarrowScale& scale,
                             std::span<Bucket> buckets) {
  const double power = power_of_ten(scale.exponent);
  const Scaling scaling{_mm256_set1_pd(static_cast<double>(scale.lowest)),
                        _mm256_set1_pd(static_cast<double>(scale.unit)), _mm256_set1_pd(power),
                        _mm256_set1_pd(1.0 / power), scale.exponent == 0};
  for (std::size_t begin = 0; begin < buckets.size(); begin += kLanes, counts += kLanes) {
    const std::size_t present = std::min(kLanes, buckets.size() - begin);
    Bucket* const out = buckets.data() + begin;
    const EightTotals totals =
        longest <= kLanes ? short_totals(integers, counts) : long_totals(integers, counts);
    const auto all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(counts));
    __m256d rows[kLanes / 2];
    scaled_rows(_mm256_castsi256_si128(totals.sum), _mm256_castsi256_si128(totals.min),
                _mm256_castsi256_si128(totals.max), _mm256_castsi256_si128(totals.last),
                _mm256_castsi256_si128(all), scaling, rows);
    for (std::size_t i = 0; i < std::min(present, kLanes / 2); ++i) {
      _mm256_storeu_pd(&out[i].sum, rows[i]);
    }
    if (present <= kLanes / 2) return;
    scaled_rows(_mm256_extracti128_si256(totals.sum, 1), _mm256_extracti128_si256(totals.min, 1),
                _mm256_extracti128_si256(totals.max, 1), _mm256_extracti128_si256(totals.last, 1),
                _mm256_extracti128_si256(all, 1), scaling, rows);
    for (std::size_t i = kLanes / 2; i < present; ++i) {
      _mm256_storeu_pd(&out[i].sum, rows[i - kLanes / 2]);
    }
  }
}

}  // namespace

bool has_narrow_totals() { return scaling::has_fma(); }

void fill_narrow_totals(const std::int32_t* integers, std::span<const std::int32_t> counts,
                        std::uint64_t longest, const NarrowScale& scale,
                        std::span<Bucket> buckets) {
  fill(integers, counts.data(), longest, scale, buckets);
}

#else

bool has_narrow_totals() { return false; }
void fill_narrow_totals(const std::int32_t*, std::span<const std::int32_t>, std::uint64_t,
                        const NarrowScale&, std::span<Bucket>) {}

#endif

}  // namespace gpu_telemetry::storage::embedded
