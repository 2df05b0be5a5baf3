// The body of an answer with telemetry, written piece by piece while samples are read, so that a
// million of them never lie in memory at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// How samples are written.
enum class TelemetryShape {
  kPoints,  // JSON: one object for each sample
  kSeries,  // JSON: times and values for each metric
  kCsv,     // RFC 4180, with a header
  kNdjson,  // one JSON object a line
};

class TelemetryBody {
 public:
  virtual ~TelemetryBody() = default;

  // Appends the next piece to `out`, about `size` bytes or less, and says whether it was the last.
  // Blocks. Errors: kCorrupt, kUnavailable; the body then stays unfinished.
  virtual Result<bool> write(std::string& out, std::size_t size) = 0;

  // Where the next page begins; empty when this is the last one. Known after the last piece.
  const std::string& next_cursor() const { return next_cursor_; }

 protected:
  std::string next_cursor_;
};

// What a body is made of.
struct TelemetrySamples {
  GpuUuid gpu;
  // One sample more than the page has, to know whether there is a next one.
  std::unique_ptr<storage::SampleCursor> cursor;
  storage::Order order = storage::Order::kNewestFirst;  // of the cursor
  std::uint64_t limit = 0;                              // 0: all
  std::uint64_t question = 0;                           // what a cursor to the next page belongs to
  // The unit of a metric's values, which kSeries tells.
  std::function<std::string(std::string_view metric)> unit;
};

std::unique_ptr<TelemetryBody> make_telemetry_body(TelemetryShape shape, TelemetrySamples samples);

}  // namespace gpu_telemetry::services
