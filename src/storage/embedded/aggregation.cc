#include "storage/embedded/aggregation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "storage/embedded/narrow_totals.h"

namespace gpu_telemetry::storage::embedded {
namespace {

__extension__ typedef __int128 WideInteger;
__extension__ typedef unsigned __int128 WideUnsigned;

// Longer buckets would overflow, and hold all timestamps since 1970 just as well.
constexpr std::int64_t kLongestStep = std::int64_t{1} << 61;
// Integers up to here, and sums of them, are exact as doubles.
constexpr double kExact = 9007199254740992.0;  // 2^53

// The start of the bucket of `time`: rounded down, also before 1970.
std::int64_t bucket_of(std::int64_t time, std::int64_t step) {
  const std::int64_t into = time % step;
  return time - (into < 0 ? into + step : into);
}

// Appends the frames of the buckets to `out`, to be filled in, and merges the first with the bucket
// that was there before once it is.
class Appending {
 public:
  Appending(const BucketSlices& slices, std::vector<Bucket>& out) : out_(out) {
    if (!out.empty() && out.back().start == slices.frames.front().start) {
      before_ = out.back();
      out.pop_back();
    }
    first_ = out.size();
    out.insert(out.end(), slices.frames.begin(), slices.frames.end());
  }
  Bucket* begin() { return out_.data() + first_; }

  void finish() {
    if (!before_) return;
    Bucket& same = out_[first_];
    same.count += before_->count;
    same.sum += before_->sum;
    same.min = std::min(same.min, before_->min);
    same.max = std::max(same.max, before_->max);
  }
  void undo() {
    out_.resize(first_);
    if (before_) out_.push_back(*before_);
  }

 private:
  std::vector<Bucket>& out_;
  std::optional<Bucket> before_;
  std::size_t first_ = 0;
};

// --- Buckets shorter than groups: everything is decoded.

struct Totals {
  double sum;
  double min;
  double max;
  double last;
};

template <class Count>
[[gnu::always_inline]] inline Totals total(const double* values, Count count) {
  Totals totals{values[0], values[0], values[0], values[count - 1]};
#pragma GCC unroll 8
  for (Count i = 1; i < count; ++i) {
    totals.sum += values[i];
    totals.min = values[i] < totals.min ? values[i] : totals.min;
    totals.max = values[i] > totals.max ? values[i] : totals.max;
  }
  return totals;
}

template <std::size_t count>
[[gnu::always_inline]] inline Totals total_of(const double* values) {
  return total(values, std::integral_constant<std::size_t, count>{}.value);
}

// The lengths that scrape intervals make of a minute get code of their own.
[[gnu::always_inline]] inline Totals bucket_totals(const double* values, std::uint64_t count) {
  switch (count) {
    case 1:
      return total_of<1>(values);
    case 2:
      return total_of<2>(values);
    case 3:
      return total_of<3>(values);
    case 4:
      return total_of<4>(values);
    case 5:
      return total_of<5>(values);
    case 6:
      return total_of<6>(values);
    case 7:
      return total_of<7>(values);
    default:
      return total(values, count);
  }
}

// Fills the aggregates from the decoded values, dividing by 10^exponent at the end. Returns the
// largest magnitude of a value before that.
using FillFunction = double (*)(const double* values, const BucketSlices& slices, unsigned exponent,
                                Bucket* out);

double fill_baseline(const double* values, const BucketSlices& slices, unsigned exponent,
                     Bucket* out) {
  const double power = power_of_ten(exponent);
  double largest = 0;
  for (std::size_t i = 0; i < slices.frames.size(); ++i) {
    const Totals totals = bucket_totals(values, out[i].count);
    values += out[i].count;
    largest = std::max({largest, totals.max, -totals.min});
    out[i].sum = totals.sum / power;
    out[i].min = totals.min / power;
    out[i].max = totals.max / power;
    out[i].last = totals.last / power;
  }
  return largest;
}

#if defined(__x86_64__)

static_assert(offsetof(Bucket, min) == offsetof(Bucket, sum) + 8 &&
              offsetof(Bucket, max) == offsetof(Bucket, sum) + 16 &&
              offsetof(Bucket, last) == offsetof(Bucket, sum) + 24);

// The four results of a bucket are divided together, as in integer_scaling.cc.
__attribute__((target("avx2,fma"))) double fill_fma(const double* values,
                                                    const BucketSlices& slices, unsigned exponent,
                                                    Bucket* out) {
  const double power = power_of_ten(exponent);
  const __m256d divisor = _mm256_set1_pd(power);
  const __m256d reciprocal = _mm256_set1_pd(1.0 / power);
  double largest = 0;
  const std::size_t count = slices.frames.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Totals totals = bucket_totals(values, out[i].count);
    values += out[i].count;
    largest = totals.max > largest ? totals.max : largest;
    largest = -totals.min > largest ? -totals.min : largest;
    __m256d four = _mm256_set_pd(totals.last, totals.max, totals.min, totals.sum);
    if (exponent != 0) {
      const __m256d quotient = _mm256_mul_pd(four, reciprocal);
      const __m256d remainder = _mm256_fnmadd_pd(quotient, divisor, four);
      four = _mm256_fmadd_pd(remainder, reciprocal, quotient);
    }
    _mm256_storeu_pd(&out[i].sum, four);
  }
  return largest;
}

FillFunction fill_function() { return scaling::has_fma() ? fill_fma : fill_baseline; }

#else

FillFunction fill_function() { return fill_baseline; }

#endif

// False, with nothing done, when a sum of integers might not be exact.
bool aggregate_decoded(const EncodedColumn& column, const BucketSlices& slices,
                       std::vector<Bucket>& out) {
  thread_local std::vector<double> values;
  const std::uint64_t first_group = slices.bounds.front() / kGroupSize;
  const std::uint64_t last_group = (slices.bounds.back() - 1) / kGroupSize;
  values.resize((last_group - first_group + 1) * kGroupSize);
  double* at = values.data();
  for (std::uint64_t i = first_group; i <= last_group; ++i, at += kGroupSize) {
    const Group& group = column.groups[i];
    if (column.has_doubles) {
      decode_group_values(column, group, at);
    } else {
      std::int64_t integers[kGroupSize];
      decode_group_integers(column, group, integers);
      scale_integers(integers, group.count, 0, at);
    }
  }
  const FillFunction fill = fill_function();
  Appending appending(slices, out);
  const double largest = fill(values.data() + (slices.bounds.front() - first_group * kGroupSize),
                              slices, column.has_doubles ? 0 : column.exponent, appending.begin());
  if (!column.has_doubles && largest * static_cast<double>(slices.longest) > kExact) {
    appending.undo();
    return false;
  }
  appending.finish();
  return true;
}

// The same by 32-bit integers, which is faster. False, with nothing done, when the values span too
// much for that or the processor cannot.
bool aggregate_narrow(const EncodedColumn& column, const BucketSlices& slices,
                      std::vector<Bucket>& out) {
  if (column.has_doubles || !has_narrow_totals()) return false;
  const std::uint64_t first_group = slices.bounds.front() / kGroupSize;
  const std::uint64_t last_group = (slices.bounds.back() - 1) / kGroupSize;
  const auto groups = std::span(column.groups).subspan(first_group, last_group - first_group + 1);
  const std::optional<NarrowRange> range = narrow_range(groups, column.unit, slices.longest);
  if (!range) return false;
  thread_local std::vector<std::int32_t> integers;
  integers.resize(groups.size() * kGroupSize + kNarrowPadding);
  std::int32_t* at = integers.data();
  for (const Group& group : groups) {
    decode_group_narrow(group, range->lowest, at);
    at += kGroupSize;
  }
  Appending appending(slices, out);
  fill_narrow_totals(integers.data() + (slices.bounds.front() - first_group * kGroupSize),
                     slices.counts, slices.longest, {range->lowest, column.unit, column.exponent},
                     {appending.begin(), slices.frames.size()});
  appending.finish();
  return true;
}

// --- Long buckets: whole groups answer by their statistics.

// Decodes groups one at a time and remembers the last.
class GroupReader {
 public:
  explicit GroupReader(const EncodedColumn& column) : column_(column) {}

  const std::uint64_t* integers(std::uint64_t index) {
    if (index != integers_of_) {
      decode_group(column_.groups[index], integers_);
      integers_of_ = index;
    }
    return integers_;
  }
  const double* doubles(std::uint64_t index) {
    if (index != doubles_of_) {
      decode_group_values(column_, column_.groups[index], doubles_);
      doubles_of_ = index;
    }
    return doubles_;
  }

 private:
  const EncodedColumn& column_;
  std::uint64_t integers_of_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t doubles_of_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t integers_[kGroupSize];
  double doubles_[kGroupSize];
};

struct IntegerTotals {
  WideInteger sum = 0;
  std::int64_t min = std::numeric_limits<std::int64_t>::max();
  std::int64_t max = std::numeric_limits<std::int64_t>::min();
  std::int64_t last = 0;
};

void add_integers(const EncodedColumn& column, std::uint64_t begin, std::uint64_t end,
                  GroupReader& reader, IntegerTotals& totals) {
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t index = at / kGroupSize;
    const Group& group = column.groups[index];
    const std::uint64_t from = at % kGroupSize;
    const std::uint64_t size = std::min<std::uint64_t>(group.count - from, end - at);
    at += size;
    if (size == group.count && group.has_statistics) {
      const auto base = static_cast<std::int64_t>(group.base);
      totals.sum += static_cast<std::int64_t>(group.sum);
      totals.sum += static_cast<WideInteger>(base) * group.count;
      totals.min = std::min(totals.min, static_cast<std::int64_t>(group.base - group.below));
      totals.max = std::max(totals.max, static_cast<std::int64_t>(group.base + group.above));
      if (at == end) totals.last = static_cast<std::int64_t>(reader.integers(index)[size - 1]);
      continue;
    }
    const std::uint64_t* integers = reader.integers(index) + from;
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto integer = static_cast<std::int64_t>(integers[i]);
      totals.sum += integer;
      totals.min = std::min(totals.min, integer);
      totals.max = std::max(totals.max, integer);
    }
    totals.last = static_cast<std::int64_t>(integers[size - 1]);
  }
}

// Integer times unit, modulo 2^64, as reading the value would compute it.
double to_value(const EncodedColumn& column, std::int64_t integer) {
  const auto scaled = static_cast<std::int64_t>(static_cast<std::uint64_t>(integer) * column.unit);
  const auto value = static_cast<double>(scaled);
  return column.exponent == 0 ? value : value / power_of_ten(column.exponent);
}

void fill_integers(const EncodedColumn& column, std::uint64_t begin, std::uint64_t end,
                   GroupReader& reader, Bucket& out) {
  IntegerTotals totals;
  add_integers(column, begin, end, reader, totals);
  const auto unit = static_cast<WideUnsigned>(column.unit);
  const auto sum = static_cast<WideInteger>(static_cast<WideUnsigned>(totals.sum) * unit);
  out.sum = static_cast<double>(sum);
  if (column.exponent != 0) out.sum /= power_of_ten(column.exponent);
  out.min = to_value(column, totals.min);
  out.max = to_value(column, totals.max);
  out.last = to_value(column, totals.last);
}

void fill_doubles(std::uint64_t begin, std::uint64_t end, GroupReader& reader, Bucket& out) {
  out.sum = 0;
  out.min = std::numeric_limits<double>::infinity();
  out.max = -std::numeric_limits<double>::infinity();
  for (std::uint64_t at = begin; at < end; ++at) {
    const double value = reader.doubles(at / kGroupSize)[at % kGroupSize];
    out.sum += value;
    out.min = std::min(out.min, value);
    out.max = std::max(out.max, value);
    out.last = value;
  }
}

void aggregate_by_statistics(const EncodedColumn& column, const BucketSlices& slices,
                             std::vector<Bucket>& out) {
  GroupReader reader(column);
  Appending appending(slices, out);
  for (std::size_t i = 0; i < slices.frames.size(); ++i) {
    Bucket& aggregate = appending.begin()[i];
    const std::uint64_t begin = slices.bounds[i];
    const std::uint64_t end = slices.bounds[i + 1];
    if (column.has_doubles) {
      fill_doubles(begin, end, reader, aggregate);
    } else {
      fill_integers(column, begin, end, reader, aggregate);
    }
  }
  appending.finish();
}

}  // namespace

void slice_buckets(std::span<const std::int64_t> timestamps, std::uint64_t first_index,
                   std::int64_t start, std::int64_t end, std::int64_t step, BucketSlices& slices) {
  slices.bounds.clear();
  slices.frames.clear();
  slices.counts.clear();
  slices.longest = 0;
  step = std::min(step, kLongestStep);
  const auto from = std::ranges::lower_bound(timestamps, start);
  const auto until = std::upper_bound(from, timestamps.end(), end);
  auto at = static_cast<std::uint64_t>(from - timestamps.begin());
  const auto stop = static_cast<std::uint64_t>(until - timestamps.begin());
  slices.bounds.push_back(first_index + at);
  Bucket frame;
  std::int64_t bucket = 0;
  while (at < stop) {
    // Mostly the next bucket, which takes no division to find, with as many samples as the one
    // before.
    bucket += step;
    if (slices.frames.empty() || timestamps[at] - bucket >= step) {
      bucket = bucket_of(timestamps[at], step);
    }
    std::uint64_t next = std::min(at + std::max<std::uint64_t>(frame.count, 1), stop);
    while (next < stop && timestamps[next] - bucket < step) ++next;
    while (next > at + 1 && timestamps[next - 1] - bucket >= step) --next;
    frame.start = from_unix_milliseconds(bucket);
    frame.count = next - at;
    at = next;
    slices.longest = std::max(slices.longest, frame.count);
    slices.bounds.push_back(first_index + at);
    slices.frames.push_back(frame);
    slices.counts.push_back(static_cast<std::int32_t>(frame.count));
  }
  while (slices.counts.size() % kNarrowLanes != 0) slices.counts.push_back(1);
}

void aggregate_column(const EncodedColumn& column, const BucketSlices& slices,
                      std::vector<Bucket>& out) {
  const std::uint64_t samples = slices.bounds.back() - slices.bounds.front();
  const bool small = samples < slices.frames.size() * kGroupSize;
  if (small && aggregate_narrow(column, slices, out)) return;
  if (small && aggregate_decoded(column, slices, out)) return;
  aggregate_by_statistics(column, slices, out);
}

void aggregate_constant(double value, const BucketSlices& slices, std::vector<Bucket>& out) {
  Appending appending(slices, out);
  Bucket* const aggregates = appending.begin();
  for (std::size_t i = 0; i < slices.frames.size(); ++i) {
    Bucket& aggregate = aggregates[i];
    aggregate.sum = value * static_cast<double>(static_cast<std::int64_t>(aggregate.count));
    aggregate.min = value;
    aggregate.max = value;
    aggregate.last = value;
  }
  appending.finish();
}

}  // namespace gpu_telemetry::storage::embedded
