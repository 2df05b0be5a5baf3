// Who used a GPU when: intervals made of the scrapes that said so.
#pragma once

#include <span>
#include <vector>

#include "domain/gpu.h"
#include "domain/time.h"

namespace gpu_telemetry {

// Both ends inclusive: the first and the last scrape that named `who` without another between them.
// An end that a later split has made lies one millisecond beside the scrape that split it.
struct AttributionInterval {
  Timestamp start;
  Timestamp end;
  Attribution who;
  friend bool operator==(const AttributionInterval&, const AttributionInterval&) = default;
};

// The intervals of one GPU, in time order, disjoint, neighbours with different `who`.
//
// Scrapes may come in any order and more than once:
//  - An observation holds for each instant from its first to its last scrape, and replaces what was
//    thought of them before. Other instants keep what was said of them, so an interval that reaches
//    over both ends of somebody else's observation is split in two.
//  - Two intervals of the same `who` with nobody else between them are one: the time between them
//    is theirs, until somebody else is observed there.
// So, as long as observations are true (nobody else was between their ends), every order of them,
// with any repeats, ends with the one who was observed at each observed instant, and repeats change
// nothing: a redelivered batch is harmless. Of two names for the same instant the later to arrive
// wins.
//
// Not thread-safe.
class AttributionTimeline {
 public:
  AttributionTimeline() = default;
  // `intervals` must be as described above.
  explicit AttributionTimeline(std::vector<AttributionInterval> intervals)
      : intervals_(std::move(intervals)) {}

  // Scrapes from `from` to `to` (inclusive; from <= to) all named `who`, with nobody else between
  // them. Returns whether anything changed. O(log n) for the newest scrapes, which is the usual
  // case.
  bool observe(Timestamp from, Timestamp to, const Attribution& who);

  // The interval that was in force at `time`: the one that contains it, or else the latest that
  // ended before it. Null before the first.
  const AttributionInterval* at(Timestamp time) const;

  std::span<const AttributionInterval> intervals() const { return intervals_; }

 private:
  std::vector<AttributionInterval> intervals_;
};

}  // namespace gpu_telemetry
