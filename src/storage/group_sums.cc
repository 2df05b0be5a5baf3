#include "storage/group_sums.h"

#include <algorithm>
#include <limits>

namespace gpu_telemetry::storage {

namespace {

std::int64_t floor_to(std::int64_t time, std::int64_t step) {
  const std::int64_t rest = time % step;
  return time - (rest < 0 ? rest + step : rest);
}

}  // namespace

GroupSums::GroupSums(const GroupQuery& query)
    : combine_(query.combine),
      step_(query.step.count()),
      first_(floor_to(unix_milliseconds(query.start), step_)) {
  const std::int64_t last = floor_to(unix_milliseconds(query.end), step_);
  buckets_ = static_cast<std::size_t>((last - first_) / step_) + 1;
  for (const GroupQuery::Member& member : query.members) {
    groups_ = std::max(groups_, member.group + 1);
  }
  cells_.resize(groups_ * buckets_);
}

template <class Merge>
void GroupSums::merge(std::uint32_t group, std::span<const Bucket> buckets, const Merge& into) {
  Cell* const cells = row(group);
  // Neighbours in time are neighbours in the row, so a division is needed only after a gap.
  std::int64_t expected = 0;
  Cell* cell = nullptr;
  for (const Bucket& bucket : buckets) {
    const std::int64_t start = unix_milliseconds(bucket.start);
    if (cell != nullptr && start == expected) {
      ++cell;
    } else {
      cell = cells + column(bucket.start);
    }
    expected = start + step_;
    into(*cell, bucket);
  }
}

void GroupSums::add(std::uint32_t group, std::span<const Bucket> buckets) {
  switch (combine_) {
    case Combine::kAverage:
      merge(group, buckets, [](Cell& cell, const Bucket& bucket) {
        cell.value += bucket.sum;
        cell.weight += bucket.count;
      });
      return;
    case Combine::kMin:
      merge(group, buckets, [](Cell& cell, const Bucket& bucket) {
        cell.value = cell.weight == 0 ? bucket.min : std::min(cell.value, bucket.min);
        cell.weight = 1;
      });
      return;
    case Combine::kMax:
      merge(group, buckets, [](Cell& cell, const Bucket& bucket) {
        cell.value = cell.weight == 0 ? bucket.max : std::max(cell.value, bucket.max);
        cell.weight = 1;
      });
      return;
    case Combine::kCount:
      merge(group, buckets, [](Cell& cell, const Bucket& bucket) {
        cell.value += static_cast<double>(bucket.count);
        cell.weight = 1;
      });
      return;
    case Combine::kSum:
      merge(group, buckets, [](Cell& cell, const Bucket& bucket) {
        cell.value += bucket.sum / static_cast<double>(bucket.count);
        cell.weight = 1;
      });
      return;
    case Combine::kLast:
      merge(group, buckets, [](Cell& cell, const Bucket& bucket) {
        cell.value += bucket.last;
        ++cell.weight;
      });
      return;
    case Combine::kIncrease:
    case Combine::kRate:
      return;
  }
}

void GroupSums::add(std::uint32_t group, std::span<const Growth> growth) {
  Cell* const cells = row(group);
  for (const Growth& each : growth) {
    if (each.time.count() <= 0) continue;
    Cell& cell = cells[column(each.start)];
    const double seconds = static_cast<double>(each.time.count()) / 1000;
    cell.value += combine_ == Combine::kRate ? each.growth / seconds : each.growth;
    cell.weight = 1;
  }
}

void GroupSums::add_part(std::uint32_t group, Timestamp start, double value, std::uint64_t weight) {
  Cell& cell = row(group)[column(start)];
  const bool is_first = cell.weight == 0;
  cell.weight += weight;
  if (is_first) {
    cell.value = value;
  } else if (combine_ == Combine::kMin) {
    cell.value = std::min(cell.value, value);
  } else if (combine_ == Combine::kMax) {
    cell.value = std::max(cell.value, value);
  } else {
    cell.value += value;
  }
}

std::vector<GroupSeries> GroupSums::series() const {
  std::vector<GroupSeries> all;
  for (std::uint32_t group = 0; group < groups_; ++group) {
    const Cell* const cells = cells_.data() + group * buckets_;
    const auto filled = static_cast<std::size_t>(
        std::count_if(cells, cells + buckets_, [](const Cell& cell) { return cell.weight != 0; }));
    if (filled == 0) continue;
    GroupSeries& series = all.emplace_back();
    series.group = group;
    series.times.reserve(filled);
    series.values.reserve(filled);
    const bool divides = combine_ == Combine::kAverage || combine_ == Combine::kLast;
    for (std::size_t i = 0; i < buckets_; ++i) {
      const Cell& cell = cells[i];
      if (cell.weight == 0) continue;
      series.times.push_back(from_unix_milliseconds(first_ + static_cast<std::int64_t>(i) * step_));
      const double value = divides ? cell.value / static_cast<double>(cell.weight) : cell.value;
      // Sums of the largest doubles stay doubles.
      series.values.push_back(std::clamp(value, std::numeric_limits<double>::lowest(),
                                         std::numeric_limits<double>::max()));
    }
  }
  return all;
}

}  // namespace gpu_telemetry::storage
