// What opening a log does with the segments that are there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "domain/result.h"
#include "io/file_system.h"
#include "log/segment_log.h"

namespace gpu_telemetry::log {

struct RecoveredSegment {
  std::uint64_t number = 0;
  std::uint64_t file_size = 0;
  // Of the last segment only, which goes on being written:
  std::uint32_t generation = 0;
  std::uint64_t reserved_size = 0;
  std::uint64_t end = 0;      // where the next record goes
  std::uint64_t durable = 0;  // below it everything was synced before; behind it nobody knows
  bool is_writable = false;
};

struct Recovery {
  std::vector<RecoveredSegment> segments;  // ascending
  std::uint64_t largest_number = 0;        // of any file that was there
};

// Visits every valid record in order, cuts a torn tail off the last segment, removes segments whose
// creation was interrupted. Errors: as SegmentLog::open.
Result<Recovery> recover(io::FileSystem& files, const std::string& directory,
                         const std::function<Result<void>(const Record&)>& replay,
                         RecoveryReport& report);

// Visits the valid records among `file`'s first bytes.
Result<void> visit_records(std::uint64_t segment, std::string_view file,
                           const std::vector<std::uint32_t>& offsets,
                           const std::function<Result<void>(const Record&)>& visit);

}  // namespace gpu_telemetry::log
