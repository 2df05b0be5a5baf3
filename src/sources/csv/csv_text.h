// Comparing and hashing short runs of bytes without a call.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace gpu_telemetry::sources::csv {

inline std::uint64_t load_word(const char* from) {
  std::uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Whether `size` bytes are the same. Made for tens of bytes; beyond, a call of memcmp is faster.
[[gnu::always_inline]] inline bool same_bytes(const char* a, const char* b, std::size_t size) {
  if (size > 64) return std::memcmp(a, b, size) == 0;
  if (size < 8) {
    for (std::size_t i = 0; i < size; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }
  std::size_t at = 0;
  for (; at + 8 < size; at += 8) {
    if (load_word(a + at) != load_word(b + at)) return false;
  }
  return load_word(a + size - 8) == load_word(b + size - 8);
}

[[gnu::always_inline]] inline bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && same_bytes(a.data(), b.data(), a.size());
}

// Spreads well enough for tables whose chains are bounded; not against somebody who wants
// collisions.
inline std::uint64_t hash_text(std::string_view text) {
  constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15;
  std::uint64_t hash = text.size() * kMultiplier;
  const auto mix = [&hash](std::uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 29;
  };
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) mix(load_word(text.data() + at));
  if (at < text.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, text.size() - at);
    mix(word);
  }
  return hash ^ hash >> 32;
}

}  // namespace gpu_telemetry::sources::csv
