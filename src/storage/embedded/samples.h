// Samples of one series as two parallel arrays, and how a newer set overlays an older one.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace gpu_telemetry::storage::embedded {

inline constexpr std::int64_t kMinTime = std::numeric_limits<std::int64_t>::min();
inline constexpr std::int64_t kMaxTime = std::numeric_limits<std::int64_t>::max();

// a - b, held at the ends of the range.
constexpr std::int64_t saturating_subtract(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (!__builtin_sub_overflow(a, b, &result)) return result;
  return b > 0 ? kMinTime : kMaxTime;
}
constexpr std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (!__builtin_add_overflow(a, b, &result)) return result;
  return b > 0 ? kMaxTime : kMinTime;
}

// Timestamps (Unix ms) strictly ascending.
struct Samples {
  std::vector<std::int64_t> timestamps;
  std::vector<double> values;

  bool empty() const { return timestamps.empty(); }
  std::size_t size() const { return timestamps.size(); }
  void clear() {
    timestamps.clear();
    values.clear();
  }
  void append(std::int64_t timestamp, double value) {
    timestamps.push_back(timestamp);
    values.push_back(value);
  }
};

// Merges `newer` into `base`: of one timestamp in both, the value of `newer` stays. `scratch` is
// memory to work in.
void overlay(Samples& base, const Samples& newer, Samples& scratch);

}  // namespace gpu_telemetry::storage::embedded
