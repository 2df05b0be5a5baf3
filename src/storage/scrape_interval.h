// How often a GPU is scraped, told from the times of its samples.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "domain/time.h"

namespace gpu_telemetry::storage {

// Samples that are looked at: 16 gaps.
inline constexpr std::size_t kIntervalTimes = 17;
// A metric that was not reported for so long before the GPU's newest sample is not looked at.
inline constexpr std::chrono::minutes kIntervalLately{5};

// The median of the gaps between the last kIntervalTimes of `times` (Unix ms, ascending); zero when
// there are fewer than two.
inline Milliseconds median_gap(std::span<const std::int64_t> times) {
  if (times.size() > kIntervalTimes) times = times.last(kIntervalTimes);
  std::vector<std::int64_t> gaps;
  for (std::size_t i = 1; i < times.size(); ++i) gaps.push_back(times[i] - times[i - 1]);
  if (gaps.empty()) return Milliseconds{0};
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  return Milliseconds{*middle};
}

}  // namespace gpu_telemetry::storage
