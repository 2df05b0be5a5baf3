#include "domain/attribution_timeline.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace gpu_telemetry {
namespace {

constexpr Milliseconds kStep{1};  // the distance of two neighbouring timestamps

}  // namespace

bool AttributionTimeline::observe(Timestamp from, Timestamp to, const Attribution& who) {
  // The intervals that share an instant with [from, to].
  auto first = std::ranges::lower_bound(intervals_, from, {}, &AttributionInterval::end);
  auto last = std::upper_bound(
      first, intervals_.end(), to,
      [](Timestamp time, const AttributionInterval& interval) { return time < interval.start; });
  if (last - first == 1 && first->who == who && first->start <= from && to <= first->end) {
    return false;
  }

  AttributionInterval observed{from, to, who};
  std::array<AttributionInterval, 3> replacement;
  std::size_t size = 0;

  if (first != last && first->start < from && first->who != who) {
    replacement[size++] = {first->start, from - kStep, first->who};
  } else {
    // Nobody else stands between this and an interval of the same `who` at or before it.
    if (first != last && first->who == who) observed.start = std::min(from, first->start);
    if (first != intervals_.begin() && std::prev(first)->who == who) {
      observed.start = (--first)->start;
    }
  }
  AttributionInterval after;
  bool has_after = false;
  if (first != last && to < std::prev(last)->end && std::prev(last)->who != who) {
    after = {to + kStep, std::prev(last)->end, std::prev(last)->who};
    has_after = true;
  } else {
    if (first != last && std::prev(last)->who == who) {
      observed.end = std::max(to, std::prev(last)->end);
    }
    if (last != intervals_.end() && last->who == who) observed.end = (last++)->end;
  }
  replacement[size++] = std::move(observed);
  if (has_after) replacement[size++] = std::move(after);

  const auto replaced = static_cast<std::size_t>(last - first);
  const std::size_t reused = std::min(replaced, size);
  const auto rest = std::move(replacement.begin(), replacement.begin() + reused, first);
  if (reused < size) {
    intervals_.insert(rest, std::make_move_iterator(replacement.begin() + reused),
                      std::make_move_iterator(replacement.begin() + size));
  } else {
    intervals_.erase(rest, last);
  }
  return true;
}

const AttributionInterval* AttributionTimeline::at(Timestamp time) const {
  const auto after = std::ranges::upper_bound(intervals_, time, {}, &AttributionInterval::start);
  return after == intervals_.begin() ? nullptr : &*std::prev(after);
}

}  // namespace gpu_telemetry
