// Who used a GPU when: intervals made of the scrapes that said so.
#pragma once

#include <span>
#include <vector>

#include "domain/gpu.h"
#include "domain/time.h"

namespace gpu_telemetry {

// Both ends inclusive: the first and the last scrape that named `who` without another between them.
struct AttributionInterval {
  Timestamp start;
  Timestamp end;
  Attribution who;
  friend bool operator==(const AttributionInterval&, const AttributionInterval&) = default;
};

// The intervals of one GPU, in time order, disjoint, neighbours with different `who`.
//
// Scrapes may come in any order. A scrape inside an interval that names somebody else splits it: the
// halves keep the ends that were observed, and the new scrape stands between them. Later repeats of
// the same observation change nothing, so a redelivered batch is harmless.
class AttributionTimeline {
 public:
  AttributionTimeline() = default;
  // `intervals` must be as described above.
  explicit AttributionTimeline(std::vector<AttributionInterval> intervals)
      : intervals_(std::move(intervals)) {}

  // Scrapes from `from` to `to` (inclusive; from <= to) all named `who`, with nobody else between
  // them. Returns whether anything changed.
  bool observe(Timestamp from, Timestamp to, const Attribution& who);

  // The interval that was in force at `time`: the one that contains it, or else the latest that
  // ended before it. Null before the first.
  const AttributionInterval* at(Timestamp time) const;

  std::span<const AttributionInterval> intervals() const { return intervals_; }

 private:
  std::vector<AttributionInterval> intervals_;
};

}  // namespace gpu_telemetry
