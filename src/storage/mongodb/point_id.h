// The `_id` of a point: "<uuid>|<Unix milliseconds, 13 digits>". Texts of one GPU are in time
// order, which makes the index that every collection has the index of a range of time.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "domain/gpu_uuid.h"
#include "domain/time.h"

namespace gpu_telemetry::storage::mongodb {

inline constexpr const char* kPointsCollection = "telemetry_points";
inline constexpr const char* kMetricsCollection = "telemetry_metrics";
inline constexpr const char* kGpusCollection = "gpus";

// What 13 digits hold: 1970 to 2286-11-20.
inline constexpr Timestamp kFirstPointTime = from_unix_milliseconds(0);
inline constexpr Timestamp kLastPointTime = from_unix_milliseconds(9'999'999'999'999);

class PointId {
 public:
  static constexpr std::size_t kDigits = 13;
  static constexpr std::size_t kSize = GpuUuid::kTextSize + 1 + kDigits;

  // A time outside of what fits is taken to the nearest that does.
  PointId(const GpuUuid& gpu, Timestamp time) {
    char* out = gpu.format_to(text_.data());
    *out++ = '|';
    std::int64_t rest = unix_milliseconds(std::clamp(time, kFirstPointTime, kLastPointTime));
    for (std::size_t i = kDigits; i > 0; --i, rest /= 10) {
      out[i - 1] = static_cast<char>('0' + rest % 10);
    }
  }
  std::string_view text() const { return {text_.data(), text_.size()}; }

  // The time in an `_id`; none when it is not made as above.
  static std::optional<Timestamp> time_of(std::string_view id) {
    if (id.size() != kSize || id[GpuUuid::kTextSize] != '|') return std::nullopt;
    std::int64_t time = 0;
    for (const char c : id.substr(kSize - kDigits)) {
      if (c < '0' || c > '9') return std::nullopt;
      time = time * 10 + (c - '0');
    }
    return from_unix_milliseconds(time);
  }

 private:
  std::array<char, kSize> text_;
};

}  // namespace gpu_telemetry::storage::mongodb
