// The simulator's random numbers: the same on every platform, unlike the distributions of <random>.
#pragma once

#include <cstdint>

namespace gpu_telemetry::sources {

// SplitMix64 (Steele, Lea and Flood, 2014): a counter and a mixing function.
class Random {
 public:
  Random() = default;
  // Streams of one seed are independent of each other.
  Random(std::uint64_t seed, std::uint64_t stream) : state_(mix(seed) ^ mix(~stream)) {}

  std::uint64_t next() { return mix(state_ += 0x9E3779B97F4A7C15ULL); }

  // From 0 to `count` - 1. Its bias is below one in 2^32, which no simulation notices.
  std::int64_t below(std::int64_t count) {
    return static_cast<std::int64_t>((next() >> 32) * static_cast<std::uint64_t>(count) >> 32);
  }
  // Both ends included.
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }

 private:
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }

  std::uint64_t state_ = 0;
};

}  // namespace gpu_telemetry::sources
