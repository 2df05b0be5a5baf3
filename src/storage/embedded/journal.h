// What was written and is not in a file yet: the segment log under PATH/journal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "domain/batch_codec.h"
#include "domain/duration.h"
#include "domain/result.h"
#include "log/segment_log.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

struct JournalOptions {
  std::string directory;
  const BatchCodec* codec = nullptr;
  io::FileSystem* files = nullptr;
  ByteSize segment_size = 64_MiB;
};

struct JournalReport {
  std::uint64_t batches = 0;
  std::uint64_t torn_tail_bytes = 0;
  std::vector<std::string> damage;
};

// The record of a batch: when it was stored (Unix ms, 8 bytes), then its encoding.
inline constexpr std::uint8_t kBatchRecord = 1;

// Thread-safe.
class Journal {
 public:
  using Visit = std::function<Result<void>(const TelemetryBatch& batch, std::int64_t stored_at)>;

  // Opens or creates it, and calls `replay` with every batch of the segments from `floor` on, in
  // the order of writing. A record that cannot be decoded is damage: named and left out. Errors: as
  // SegmentLog::open, and what `replay` returns.
  static Result<std::unique_ptr<Journal>> open(const JournalOptions& options, std::uint64_t floor,
                                               const Visit& replay, JournalReport& report);

  // Appends the batches; durable when it returns. One that is larger than a record may be is
  // written in parts. Errors: kInvalid (a single scrape that is too large), kFull, kUnavailable.
  Result<void> append(std::span<const BatchToWrite> batches, std::int64_t stored_at);

  // As in SegmentLog.
  Result<std::uint64_t> roll() { return log_->roll(); }
  Result<void> release_before(std::uint64_t segment) { return log_->release_before(segment); }
  std::uint64_t current_segment() const { return log_->segments().back(); }
  std::uint64_t bytes_on_disk() const { return log_->bytes_on_disk(); }

 private:
  Journal(const BatchCodec& codec, std::size_t largest_record)
      : codec_(codec), largest_batch_(largest_record - sizeof(std::int64_t)) {}

  Result<void> encode(const TelemetryBatch& batch, std::vector<std::string>& encoded) const;

  const BatchCodec& codec_;
  const std::size_t largest_batch_;
  std::unique_ptr<log::SegmentLog> log_;
};

}  // namespace gpu_telemetry::storage::embedded
