// How fresh what is known of a GPU is: live, stale or gone.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"
#include "domain/gpu.h"
#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

enum class GpuState : std::uint8_t { kLive, kStale, kGone };
std::string_view to_string(GpuState state);

struct Freshness {
  GpuState state = GpuState::kGone;
  Milliseconds age{0};          // since it was last seen; below 0: that lies ahead of the clock
  Milliseconds interval{0};     // between scrapes; 0: unknown
  Milliseconds stale_after{0};  // age from which it is stale
  Milliseconds gone_after{0};   // and gone
};

// Live up to 3 scrape intervals after it was last seen, stale up to 10, then gone. An unknown
// interval is taken for 10 s. Never stale before 15 s and never gone before 30 s: collectors write
// down when a GPU was last seen at most every 10 s. What is dated more than a minute ahead of `now`
// is stale: a clock was wrong, and newer readings may carry earlier times.
Freshness freshness_of(Timestamp last_seen, Milliseconds interval, Timestamp now);

// Remembers each GPU's scrape interval for a minute. Thread-safe.
class ScrapeIntervals {
 public:
  // References outlive it.
  ScrapeIntervals(storage::TelemetryRepository& telemetry, const Clock& clock)
      : telemetry_(telemetry), clock_(clock) {}

  // In the order of `gpus`; zero where unknown. Blocks: asks storage for those not remembered, a
  // few thousand at a time, so that the first question about a large fleet on a slow store is
  // answered too; what that leaves out is unknown until the next question. Errors: as
  // TelemetryRepository::scrape_intervals.
  Result<std::vector<Milliseconds>> of(std::span<const GpuUuid> gpus);

 private:
  struct Known {
    Milliseconds interval{0};
    SteadyTime asked;
  };
  std::vector<std::size_t> to_ask(std::span<const GpuUuid> gpus,
                                  std::vector<Milliseconds>& intervals);

  storage::TelemetryRepository& telemetry_;
  const Clock& clock_;
  concurrency::Mutex mutex_;
  std::unordered_map<GpuUuid, Known> known_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace gpu_telemetry::services
