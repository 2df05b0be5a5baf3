// Decimal digits of whole numbers, for text that is written by the million.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gpu_telemetry {

// The two digits of every number below 100, one after the other.
inline constexpr std::array<char, 200> kDigitPairs = [] {
  std::array<char, 200> pairs{};
  for (std::size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}();

// Each writes to `out`, which has room, and returns the end.

// `number` is below 10.
inline char* put_digit(char* out, unsigned number) {
  *out = static_cast<char>('0' + number);
  return out + 1;
}

// Two digits; `number` is below 100.
inline char* put_pair(char* out, unsigned number) {
  std::memcpy(out, &kDigitPairs[2 * number], 2);
  return out + 2;
}

// As many digits as the number has, at most 20.
inline char* put_unsigned(char* out, std::uint64_t number) {
  if (number >= 10'000) {
    out = put_unsigned(out, number / 10'000);
    const auto low = static_cast<unsigned>(number % 10'000);
    return put_pair(put_pair(out, low / 100), low % 100);
  }
  const auto small = static_cast<unsigned>(number);
  const unsigned high = small / 100;
  if (high == 0) return small < 10 ? put_digit(out, small) : put_pair(out, small);
  out = high < 10 ? put_digit(out, high) : put_pair(out, high);
  return put_pair(out, small % 100);
}

}  // namespace gpu_telemetry
