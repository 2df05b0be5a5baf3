// Makes one file of several: level-0 files of a partition, and what came late to it.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <vector>

#include "storage/embedded/file_folder.h"

namespace gpu_telemetry::storage::embedded {

struct MergeOptions {
  std::int64_t partition_ms = 0;   // > 0
  std::int64_t now = 0;            // Unix ms
  std::int64_t cutoff = kMinTime;  // what has expired is left out
};

// The files that should become one next, ascending in sequence; empty when there are none. A
// partition that still receives samples is merged when four files of about one size have come
// together; one that is over, as soon as it has two. A file that is much larger than all that came
// after it is left alone, so that what is late does not rewrite it each time.
std::vector<StoredFilePointer> choose_merge(const FileSet& files, const MergeOptions& options);

// Writes the union of the files, of equal keys the value of the newer one, and gives it its name.
// Returns its entry; none when everything in them has expired.
// Errors: kCorrupt (`damaged` is the file), kFull, kUnavailable, kCancelled.
Result<std::optional<FileEntry>> merge_files(FileFolder& folder, const MetricTable& metrics,
                                             const std::vector<StoredFilePointer>& inputs,
                                             const MergeOptions& options, std::stop_token stop,
                                             StoredFilePointer& damaged);

}  // namespace gpu_telemetry::storage::embedded
