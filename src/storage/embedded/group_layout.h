// The first byte of a group's header, and the limits of its codings: what the encoder and the
// decoder of group_codec.h agree on.
#pragma once

#include <cstdint>

namespace gpu_telemetry::storage::embedded {

// The coding and, but for runs and keys, the width of its packed values.
inline constexpr std::uint8_t kRangeCode = 0;
inline constexpr std::uint8_t kDeltaCode = 65;
inline constexpr std::uint8_t kLineCode = 130;
inline constexpr std::uint8_t kRunsCode = 195;
inline constexpr std::uint8_t kKeysCode = 196;  // the width is the next byte

// Groups that span more carry no statistics, so that sums of 128 fit an int64.
inline constexpr unsigned kWidestWithStatistics = 48;

}  // namespace gpu_telemetry::storage::embedded
