// How a room that stores or carries batches as bytes gets at their encoding without knowing it.
#pragma once

#include <string>
#include <string_view>

#include "domain/result.h"
#include "domain/telemetry_batch.h"

namespace gpu_telemetry {

// Implemented by wire/. Stateless and thread-safe.
class BatchCodec {
 public:
  virtual ~BatchCodec() = default;

  // Replaces `out` with the encoding of `batch`, whose invariants must hold.
  virtual void encode(const TelemetryBatch& batch, std::string& out) const = 0;

  // Replaces `out` with the decoded batch. Every invariant of TelemetryBatch is checked.
  // Errors: kCorrupt, with the byte offset and what is wrong there (`out` is then unspecified);
  // kInvalid for a version that this program does not read.
  virtual Result<void> decode(std::string_view bytes, TelemetryBatch& out) const = 0;
};

}  // namespace gpu_telemetry
