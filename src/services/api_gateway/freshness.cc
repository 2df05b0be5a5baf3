#include "services/api_gateway/freshness.h"

#include <algorithm>

namespace gpu_telemetry::services {
namespace {

using concurrency::MutexLock;
using std::chrono::seconds;

constexpr seconds kUnknownInterval{10};
constexpr seconds kLeastStale{15};
constexpr seconds kLeastGone{30};
// Further ahead of this clock a time is wrong, or this clock is.
constexpr seconds kClockDifference{60};

constexpr seconds kRemembered{60};
// A GPU that has only just appeared is asked for again soon.
constexpr seconds kUnknownRemembered{5};
constexpr std::size_t kMostUnknown = 4'000;
constexpr std::size_t kMostAgain = 1'000;
// Far more than a fleet has: made-up UUIDs are refused before they come here.
constexpr std::size_t kMostGpus = 1'000'000;

}  // namespace

std::string_view to_string(GpuState state) {
  switch (state) {
    case GpuState::kLive:
      return "live";
    case GpuState::kStale:
      return "stale";
    case GpuState::kGone:
      break;
  }
  return "gone";
}

Freshness freshness_of(Timestamp last_seen, Milliseconds interval, Timestamp now) {
  Freshness freshness;
  const Milliseconds taken = interval.count() > 0 ? interval : Milliseconds{kUnknownInterval};
  // A GPU that is scraped once a year is gone after a month without.
  const Milliseconds bounded = std::min<Milliseconds>(taken, std::chrono::hours{72});
  freshness.interval = interval;
  freshness.stale_after = std::max<Milliseconds>(3 * bounded, kLeastStale);
  freshness.gone_after = std::max<Milliseconds>(10 * bounded, kLeastGone);
  freshness.age = now - last_seen;
  if (freshness.age < -kClockDifference) {
    freshness.state = GpuState::kStale;
    return freshness;
  }
  freshness.age = std::max(freshness.age, Milliseconds{0});
  if (freshness.age <= freshness.stale_after) {
    freshness.state = GpuState::kLive;
  } else if (freshness.age <= freshness.gone_after) {
    freshness.state = GpuState::kStale;
  }
  return freshness;
}

std::vector<std::size_t> ScrapeIntervals::to_ask(std::span<const GpuUuid> gpus,
                                                 std::vector<Milliseconds>& intervals) {
  std::vector<std::size_t> places;
  std::size_t unknown = 0;
  std::size_t again = 0;
  const SteadyTime now = clock_.steady_now();
  const MutexLock lock(mutex_);
  if (known_.size() > kMostGpus) known_.clear();
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    const auto found = known_.find(gpus[i]);
    if (found == known_.end()) {
      if (unknown++ < kMostUnknown) places.push_back(i);
      continue;
    }
    Known& known = found->second;
    intervals[i] = known.interval;
    const auto lifetime = known.interval.count() > 0 ? kRemembered : kUnknownRemembered;
    if (now - known.asked < lifetime || again++ >= kMostAgain) continue;
    known.asked = now;  // by this question, and not by those beside it
    places.push_back(i);
  }
  return places;
}

Result<std::vector<Milliseconds>> ScrapeIntervals::of(std::span<const GpuUuid> gpus) {
  std::vector<Milliseconds> intervals(gpus.size(), Milliseconds{0});
  const std::vector<std::size_t> places = to_ask(gpus, intervals);
  if (places.empty()) return intervals;
  std::vector<GpuUuid> asked;
  asked.reserve(places.size());
  for (const std::size_t place : places) asked.push_back(gpus[place]);
  const auto found = telemetry_.scrape_intervals(asked);
  if (!found) return found.error();
  const SteadyTime now = clock_.steady_now();
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < places.size(); ++i) {
    intervals[places[i]] = (*found)[i];
    known_[asked[i]] = {(*found)[i], now};
  }
  return intervals;
}

}  // namespace gpu_telemetry::services
