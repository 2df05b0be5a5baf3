// Clocks are passed in, so that a test decides what time it is.
#pragma once

#include <atomic>
#include <chrono>

#include "domain/time.h"

namespace gpu_telemetry {

// Steady time: deadlines and durations. Never goes back.
using SteadyTime = std::chrono::steady_clock::time_point;

// Thread-safe. Outlives whatever was given a reference to it.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall-clock time in UTC, whole milliseconds; may be set back by an operator.
  virtual Timestamp now() const = 0;
  virtual SteadyTime steady_now() const = 0;
};

// The machine's clocks. One instance for the whole process.
const Clock& system_clock();

// A clock that stands still until it is told to move. For tests.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Timestamp start) : milliseconds_(unix_milliseconds(start)) {}
  Timestamp now() const override { return from_unix_milliseconds(milliseconds_.load()); }
  SteadyTime steady_now() const override {
    return SteadyTime{std::chrono::nanoseconds{steady_nanoseconds_.load()}};
  }
  // Moves both clocks forward. The wall clock takes its whole milliseconds from the sum of all
  // moves.
  void advance(std::chrono::nanoseconds by) {
    const std::chrono::nanoseconds before{steady_nanoseconds_.fetch_add(by.count())};
    milliseconds_ +=
        (std::chrono::floor<Milliseconds>(before + by) - std::chrono::floor<Milliseconds>(before))
            .count();
  }
  // Sets the wall clock alone, as an operator would.
  void set(Timestamp now) { milliseconds_ = unix_milliseconds(now); }

 private:
  std::atomic<std::int64_t> milliseconds_;
  std::atomic<std::int64_t> steady_nanoseconds_{1'000'000'000};
};

}  // namespace gpu_telemetry
