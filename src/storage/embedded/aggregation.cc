#include "storage/embedded/aggregation.h"

#include <algorithm>
#include <limits>

namespace gpu_telemetry::storage::embedded {
namespace {

__extension__ typedef __int128 WideInteger;
__extension__ typedef unsigned __int128 WideUnsigned;

// Of the integers of a column.
struct IntegerTotals {
  WideInteger sum = 0;
  std::int64_t min = std::numeric_limits<std::int64_t>::max();
  std::int64_t max = std::numeric_limits<std::int64_t>::min();
  std::int64_t last = 0;
};

void append(const ColumnAggregate& aggregate, std::vector<ColumnAggregate>& out) {
  if (out.empty() || out.back().bucket_start != aggregate.bucket_start) {
    out.push_back(aggregate);
    return;
  }
  ColumnAggregate& same = out.back();
  same.count += aggregate.count;
  same.sum += aggregate.sum;
  same.min = std::min(same.min, aggregate.min);
  same.max = std::max(same.max, aggregate.max);
  same.last = aggregate.last;
  same.last_timestamp = aggregate.last_timestamp;
}

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

void add_integers(const EncodedColumn& column, const BucketSlice& slice, GroupReader& reader,
                  IntegerTotals& totals) {
  for (std::uint64_t at = slice.begin; at < slice.end;) {
    const std::uint64_t index = at / kGroupSize;
    const Group& group = column.groups[index];
    const std::uint64_t from = at % kGroupSize;
    const std::uint64_t size = std::min<std::uint64_t>(group.count - from, slice.end - at);
    at += size;
    if (size == group.count && group.has_statistics) {
      const auto base = static_cast<std::int64_t>(group.base);
      totals.sum += static_cast<std::int64_t>(group.sum);
      totals.sum += static_cast<WideInteger>(base) * group.count;
      totals.min = std::min(totals.min, static_cast<std::int64_t>(group.base - group.below));
      totals.max = std::max(totals.max, static_cast<std::int64_t>(group.base + group.above));
      if (at == slice.end) {
        totals.last = group.coding == GroupCoding::kRange && group.width == 0
                          ? base
                          : static_cast<std::int64_t>(reader.integers(index)[group.count - 1]);
      }
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

ColumnAggregate aggregate_integers(const EncodedColumn& column, const BucketSlice& slice,
                                   GroupReader& reader) {
  IntegerTotals totals;
  add_integers(column, slice, reader, totals);
  ColumnAggregate aggregate;
  const auto unit = static_cast<WideUnsigned>(column.unit);
  const auto sum = static_cast<WideInteger>(static_cast<WideUnsigned>(totals.sum) * unit);
  aggregate.sum = static_cast<double>(sum);
  if (column.exponent != 0) aggregate.sum /= power_of_ten(column.exponent);
  aggregate.min = to_value(column, totals.min);
  aggregate.max = to_value(column, totals.max);
  aggregate.last = to_value(column, totals.last);
  return aggregate;
}

ColumnAggregate aggregate_doubles(const BucketSlice& slice, GroupReader& reader) {
  ColumnAggregate aggregate;
  aggregate.min = std::numeric_limits<double>::infinity();
  aggregate.max = -std::numeric_limits<double>::infinity();
  for (std::uint64_t at = slice.begin; at < slice.end; ++at) {
    const double value = reader.doubles(at / kGroupSize)[at % kGroupSize];
    aggregate.sum += value;
    aggregate.min = std::min(aggregate.min, value);
    aggregate.max = std::max(aggregate.max, value);
    aggregate.last = value;
  }
  return aggregate;
}

// Longer buckets would overflow, and hold all timestamps since 1970 just as well.
constexpr std::int64_t kLongestStep = std::int64_t{1} << 61;

// The start of the bucket of `time`: rounded down, also before 1970.
std::int64_t bucket_of(std::int64_t time, std::int64_t step) {
  const std::int64_t into = time % step;
  return time - (into < 0 ? into + step : into);
}

}  // namespace

void slice_buckets(std::span<const std::int64_t> timestamps, std::uint64_t first_index,
                   std::int64_t start, std::int64_t end, std::int64_t step,
                   std::vector<BucketSlice>& slices) {
  slices.clear();
  step = std::min(step, kLongestStep);
  auto at = std::ranges::lower_bound(timestamps, start) - timestamps.begin();
  const auto until = std::ranges::upper_bound(timestamps, end) - timestamps.begin();
  while (at < until) {
    BucketSlice slice;
    slice.bucket_start = bucket_of(timestamps[at], step);
    slice.begin = first_index + at;
    while (at < until && timestamps[at] >= slice.bucket_start &&
           timestamps[at] - slice.bucket_start < step) {
      ++at;
    }
    slice.end = first_index + at;
    slice.last_timestamp = timestamps[at - 1];
    slices.push_back(slice);
  }
}

void aggregate_column(const EncodedColumn& column, std::span<const BucketSlice> slices,
                      std::vector<ColumnAggregate>& out) {
  GroupReader reader(column);
  for (const BucketSlice& slice : slices) {
    ColumnAggregate aggregate = column.has_doubles ? aggregate_doubles(slice, reader)
                                                   : aggregate_integers(column, slice, reader);
    aggregate.bucket_start = slice.bucket_start;
    aggregate.count = slice.end - slice.begin;
    aggregate.last_timestamp = slice.last_timestamp;
    append(aggregate, out);
  }
}

void aggregate_constant(double value, std::span<const BucketSlice> slices,
                        std::vector<ColumnAggregate>& out) {
  for (const BucketSlice& slice : slices) {
    ColumnAggregate aggregate;
    aggregate.bucket_start = slice.bucket_start;
    aggregate.count = slice.end - slice.begin;
    aggregate.sum = value * static_cast<double>(aggregate.count);
    aggregate.min = aggregate.max = aggregate.last = value;
    aggregate.last_timestamp = slice.last_timestamp;
    append(aggregate, out);
  }
}

}  // namespace gpu_telemetry::storage::embedded
