// Points in time as the whole pipeline means them: UTC, whole milliseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "domain/result.h"

namespace gpu_telemetry {

using Milliseconds = std::chrono::milliseconds;
using Timestamp = std::chrono::sys_time<Milliseconds>;

// The earliest time that a reading may carry: 2001-09-10T00:00:00Z. From there on a Unix time in
// milliseconds has 13 digits, which keeps textual keys in time order until the year 2286.
inline constexpr Timestamp kEarliestTimestamp{Milliseconds{1'000'080'000'000}};

// How far ahead of the clock a reading's time may be before it is taken for a wrong clock.
inline constexpr std::chrono::minutes kLatestTimestampLead{10};

constexpr std::int64_t unix_milliseconds(Timestamp time) { return time.time_since_epoch().count(); }
constexpr Timestamp from_unix_milliseconds(std::int64_t milliseconds) {
  return Timestamp{Milliseconds{milliseconds}};
}

// Which way digits finer than a millisecond go when a time is read.
enum class Rounding { kDown, kUp };

// Reads an RFC 3339 date-time. A zone (`Z` or an offset) is required; `T` and `Z` may be lower case
// and a space may stand for `T`; second 60 is read as the first of the next minute.
// In UTC the time must lie in the years 0 to 9999.
// Errors: kInvalid, with the text and the accepted form.
Result<Timestamp> parse_rfc3339(std::string_view text, Rounding rounding = Rounding::kDown);

// The shortest RFC 3339 form in UTC: `2025-07-18T20:42:34Z`, with three fraction digits only when
// they are not zero. Of years 0 to 9999; what lies outside is written as the nearest of them.
std::string format_rfc3339(Timestamp time);

// The same, written to `out`, which must have room for kRfc3339MaxSize characters. Returns the end.
inline constexpr std::size_t kRfc3339MaxSize = 24;
char* format_rfc3339_to(char* out, Timestamp time);

}  // namespace gpu_telemetry
