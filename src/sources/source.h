// Where telemetry enters: a source turns what an exporter wrote into batches of scrapes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <stop_token>

#include "domain/metric_catalogue.h"
#include "domain/result.h"
#include "domain/telemetry_batch.h"

namespace gpu_telemetry::sources {

// What a source has counted since it was made. Written by the source's thread, readable from any.
struct SourceCounters {
  std::atomic<std::uint64_t> rows_accepted{0};     // became a sample
  std::atomic<std::uint64_t> rows_malformed{0};    // skipped: torn, wrong columns, bad time or UUID
  std::atomic<std::uint64_t> rows_absent{0};       // well formed, but the value is not a reading
  std::atomic<std::uint64_t> rows_other_shard{0};  // belong to another streamer, or one that
                                                   // shared the source has published them
  std::atomic<std::uint64_t> passes{0};            // times the whole input was read
  std::array<std::atomic<std::uint64_t>, kRejectionCount> rejected{};  // by Rejection; sums up to
                                                                       // rows_absent
};

enum class SourceState {
  kBatch,      // `batch` holds samples; call again
  kWindowEnd,  // of a shared source only: as kBatch, but `batch` may be empty, and with it a window
               // has been handed out (shareable_source.h)
  kEnd,        // the input has ended for good and `batch` is empty
};

class ShareableSource;

// Used by one thread at a time.
class Source {
 public:
  virtual ~Source() = default;

  // Clears `batch` and fills it with samples of at most `max_rows` rows. Blocks as long as the
  // source has to wait (a live source between two scrapes, a pipe). A live or waiting source hands
  // out what it has after at most 50 ms. `batch` never holds a partial row. Errors: kCancelled when
  // `stop` was requested; kUnavailable, kCorrupt when the input cannot be read any further. What
  // was handed out before stays valid.
  virtual Result<SourceState> next(TelemetryBatch& batch, std::size_t max_rows,
                                   std::stop_token stop) = 0;

  virtual const SourceCounters& counters() const = 0;

  // The same source as one that several processes can read together; null when it is none. Belongs
  // to the source and is used by the same thread.
  virtual ShareableSource* shareable() { return nullptr; }
};

// The fixed part of the fleet that a streamer reads: GPUs whose UUID hashes to `index` of `count`.
struct Shard {
  std::uint32_t index = 0;
  std::uint32_t count = 1;  // 1: everything
  bool owns(const GpuUuid& uuid) const { return count <= 1 || uuid.stable_hash() % count == index; }
};

}  // namespace gpu_telemetry::sources
