// What the buckets of many GPUs come to, group by group: the part of
// TelemetryRepository::aggregate_groups that is the same wherever samples are kept.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage {

constexpr bool is_of_counter(Combine combine) {
  return combine == Combine::kRate || combine == Combine::kIncrease;
}

// How far before the range the first sample of a pair may lie.
inline Milliseconds counter_lookback(const GroupQuery& query) {
  return std::max(query.step, Milliseconds{kCounterLookback});
}

// What a counter grew by from one sample to the next: a fall is a start from 0.
constexpr double counter_growth(double before, double after) {
  return after < before ? after : after - before;
}

// The growth of one GPU's counter in one bucket.
struct Growth {
  Timestamp start;
  double growth = 0;
  Milliseconds time{0};  // between the samples of its pairs

  void add(double before, double after, Milliseconds between) {
    growth += counter_growth(before, after);
    time += between;
  }
};

// A dense table of groups and buckets. `query` has passed check_groups, and start <= end.
class GroupSums {
 public:
  explicit GroupSums(const GroupQuery& query);

  // Adds the buckets of one GPU; they lie in the query's range.
  void add(std::uint32_t group, std::span<const Bucket> buckets);
  void add(std::uint32_t group, std::span<const Growth> growth);

  // What some GPUs of the group come to in one bucket, already added up (kMin, kMax: the least or
  // greatest). `weight`: kAverage: their samples; kLast: how many GPUs they are; else 1.
  void add_part(std::uint32_t group, Timestamp start, double value, std::uint64_t weight);

  std::vector<GroupSeries> series() const;

 private:
  struct Cell {
    double value = 0;
    std::uint64_t weight = 0;  // 0: no value
  };
  Cell* row(std::uint32_t group) { return cells_.data() + group * buckets_; }
  std::size_t column(Timestamp start) const {
    return static_cast<std::size_t>((unix_milliseconds(start) - first_) / step_);
  }
  template <class Merge>
  void merge(std::uint32_t group, std::span<const Bucket> buckets, const Merge& into);

  const Combine combine_;
  const std::int64_t step_;
  std::int64_t first_ = 0;  // start of the first bucket, Unix ms
  std::size_t buckets_ = 0;
  std::uint32_t groups_ = 0;
  std::vector<Cell> cells_;  // by group, then by bucket
};

}  // namespace gpu_telemetry::storage
