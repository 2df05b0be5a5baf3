// Durations and sizes as people write them in settings and requests.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "domain/result.h"

namespace gpu_telemetry {

// Reads a duration as Go writes it: a sum of numbers with a unit each (`1.5h`, `100ms`, `1h30m`),
// units ns, us (or µs), ms, s, m, h, and also d (24 h); plain `0` needs no unit. Never negative.
// Exact: a term finer than a nanosecond is rounded to the nearest. At most 292 years.
// Errors: kInvalid, with the text and the accepted form.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// A form that parse_duration reads back exactly: days, hours and minutes where they are not zero,
// then the rest in one unit: `100ms`, `1.5s`, `1h30m`, `30d`, `0s`. Negative ones begin with `-`,
// which parse_duration refuses.
std::string format_duration(std::chrono::nanoseconds duration);

// A number of bytes. A type of its own, so that a size is never taken for a count.
struct ByteSize {
  std::uint64_t bytes = 0;
  friend auto operator<=>(const ByteSize&, const ByteSize&) = default;
};

constexpr ByteSize operator""_KiB(unsigned long long n) { return {n << 10}; }
constexpr ByteSize operator""_MiB(unsigned long long n) { return {n << 20}; }
constexpr ByteSize operator""_GiB(unsigned long long n) { return {n << 30}; }

// Reads `64MiB`, `1GB`, `512k`, `1000`: KiB, MiB, GiB, TiB (also Ki, Mi, Gi, Ti) are powers of
// 1024, kB, MB, GB, TB (also k, M, G, T) powers of 1000, B or nothing is bytes. Exact: `1.5k` is
// 1500, a fraction of a byte is rounded to the nearest. At most 2^64 - 1 bytes. Errors: kInvalid,
// with the text and the accepted form.
Result<ByteSize> parse_byte_size(std::string_view text);

// In the largest power of 1024 that divides it: `64MiB`, `1000000B`. parse_byte_size reads it back.
std::string format_byte_size(ByteSize size);

}  // namespace gpu_telemetry
