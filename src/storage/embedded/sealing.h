// Makes level-0 files of a head that is no longer written.
#pragma once

#include <cstdint>
#include <stop_token>
#include <vector>

#include "storage/embedded/file_folder.h"
#include "storage/embedded/head.h"

namespace gpu_telemetry::storage::embedded {

struct SealRequest {
  const Head* head = nullptr;
  const MetricTable* metrics = nullptr;
  std::uint64_t sequence = 0;      // of the new files
  std::int64_t partition_ms = 0;   // > 0
  std::int64_t cutoff = kMinTime;  // what has expired is left out
};

// A head whose times are strewn over more partitions than this shares files between neighbours: a
// writer of random times must not make a file of each.
inline constexpr std::size_t kMaxFilesOfSeal = 64;

// Writes one file for each partition in which the head has samples and gives them their names.
// Returns their entries. Errors: kFull, kUnavailable, kCancelled; nothing is published then (files
// that have a name already are orphans).
Result<std::vector<FileEntry>> seal_head(FileFolder& folder, const SealRequest& request,
                                         std::stop_token stop);

// The start of the partition that `timestamp` belongs to.
constexpr std::int64_t partition_of(std::int64_t timestamp, std::int64_t partition_ms) {
  const std::int64_t rest = timestamp % partition_ms;
  return timestamp - (rest < 0 ? rest + partition_ms : rest);
}

}  // namespace gpu_telemetry::storage::embedded
