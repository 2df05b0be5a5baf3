// An append-only log of records in preallocated segments: the journal of the embedded store and the
// body of the durable queue. docs/formats/log.md has the bytes.
//
// Durability. `append` with kSync returns only after the record and all before it are on the
// device. Callers that wait at the same time share one write and one fdatasync: while a sync runs,
// what arrives gathers and goes out with the next. There is no linger timer.
//
// Failure. After a failed write or sync nothing is retried: the log refuses every further append
// with that error until it is opened again, because the kernel may have dropped what it could not
// write. A full device is seen when the next segment is preallocated, before any record is accepted
// into it; that error (kFull) is not sticky, and appends succeed again when there is space.
//
// Recovery. A bad record with nothing valid after it is a torn tail and is cut. So is one with only
// records after it that were written before it was known to be on the device: a write that the
// power cut through, of which no append ever returned. With any later record after it, it is
// damage, and so is every bad record of a log that was closed in good order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/duration.h"
#include "domain/result.h"
#include "io/file_system.h"

namespace gpu_telemetry::log {

// Positions grow with every record and are never used again.
struct Position {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;  // of the record's header within the segment file
  friend auto operator<=>(const Position&, const Position&) = default;
};

struct Record {
  Position position;
  std::uint8_t type = 0;  // the caller's own; 0 is reserved
  std::string_view payload;
};

enum class Durability { kSync, kBuffered };

struct SegmentLogOptions {
  std::string directory;  // created when it is not there
  // Size that segments are preallocated to. Larger segments are reclaimed later and cost more disk;
  // smaller ones cost a preallocation and a directory sync more often.
  ByteSize segment_size = 64_MiB;
  // The largest payload that append accepts; at most segment_size less the headers.
  ByteSize max_record_size = 16_MiB;
  io::FileSystem* files = nullptr;  // null: posix_file_system()
  // Called first in each new segment, when not empty; the records it returns open the segment (a
  // checkpoint of what all earlier segments say). It runs inside the append, roll or open that
  // needs the segment, on that thread and so under whatever locks its caller holds, and before the
  // record being appended has a place. It must not call the log.
  std::function<std::vector<std::pair<std::uint8_t, std::string>>()> segment_preamble;
};

// What opening found. Damage does not keep a log from opening: it is named, skipped and kept.
struct RecoveryReport {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t torn_tail_bytes = 0;  // cut: a record that was being written when the process died
  std::vector<std::string> damage;    // one sentence each: file, offset, what is wrong
};

// Thread-safe. One process at a time (a lock file in the directory).
class SegmentLog {
 public:
  // Opens or creates, and calls `replay` (when not empty) with every valid record of every segment
  // in order, before anything can be appended. A Record's payload is valid during the call only. An
  // error from `replay` ends the opening with that error. Errors: kConflict (another process has
  // it), kCorrupt only for a directory that is not a log or a newer version, kUnavailable, kFull.
  static Result<std::unique_ptr<SegmentLog>> open(
      SegmentLogOptions options, const std::function<Result<void>(const Record&)>& replay,
      RecoveryReport* report = nullptr);

  // Completes or fails what was appended, syncs, and releases the lock. Call no other function from
  // then on.
  virtual ~SegmentLog() = default;

  // Blocks until the record is written (kBuffered: handed to the writer's next batch, which reaches
  // the device with the next kSync append or `sync`). Returns its position.
  // Errors: kInvalid (too large, type 0), kFull (nothing was written), kUnavailable (sticky).
  virtual Result<Position> append(std::uint8_t type, std::string_view payload,
                                  Durability durability) = 0;

  // The same for several records, contiguous and in order; all of them or none survive a crash as
  // far as the caller was told (an error may leave a prefix). Payloads are given in pieces, so that
  // a header and a body need no copy: each record's payload is the concatenation of its pieces.
  struct Piece {
    std::uint8_t type = 0;
    std::span<const std::string_view> payload;
  };
  virtual Result<Position> append_all(std::span<const Piece> records, Durability durability) = 0;

  // Blocks until everything appended before the call is on the device.
  virtual Result<void> sync() = 0;

  // Ends the current segment, so that the next record opens a new one. Returns the new segment's
  // number: everything appended before is in a lower one.
  virtual Result<std::uint64_t> roll() = 0;

  // Deletes every segment whose number is lower than `segment`. Never the current one.
  virtual Result<void> release_before(std::uint64_t segment) = 0;

  // Reads one segment's valid records again, in order; the current one up to what was appended
  // before the call. Thread-safe beside appends.
  virtual Result<void> read_segment(std::uint64_t segment,
                                    const std::function<Result<void>(const Record&)>& visit) = 0;

  // Deletes one segment that is not the current one, whatever its number.
  virtual Result<void> remove_segment(std::uint64_t segment) = 0;

  virtual std::vector<std::uint64_t> segments() const = 0;  // oldest first; the last is current
  virtual std::uint64_t bytes_on_disk() const = 0;
};

}  // namespace gpu_telemetry::log
