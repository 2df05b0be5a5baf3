// One place where samples of a series lie: a column of a file, or of a head.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "domain/result.h"
#include "storage/embedded/file_set.h"
#include "storage/embedded/head_column.h"
#include "storage/embedded/samples.h"

namespace gpu_telemetry::storage::embedded {

// Points into what the query has pinned.
struct ColumnSource {
  std::uint32_t metric = 0;  // the caller's number: what sources of one series share
  std::int64_t first = 0;    // of the samples that are shown
  std::int64_t last = 0;
  std::uint64_t samples = 0;
  const HeadColumnView* head = nullptr;  // or else:
  const StoredFile* file = nullptr;
  ColumnEntry entry;
  std::int64_t shown_from = kMinTime;

  static ColumnSource of_head(std::uint32_t metric, const HeadColumnView& view);
  static ColumnSource of_file(std::uint32_t metric, const StoredFile& file,
                              const ColumnEntry& entry, std::int64_t cutoff);

  bool overlaps(std::int64_t start, std::int64_t end) const {
    return first <= end && last >= start;
  }
  // About how many samples lie in [start, end], as if they were spread evenly.
  double estimate(std::int64_t start, std::int64_t end) const;
};

// Memory that readers of sources work in, reused from column to column.
struct SourceBuffers {
  Samples newer;
  Samples scratch;
};

// Replaces `out` with the samples in [start, end] of one series. `sources` are all its places,
// those written later last. On an error `failed` is the source that it came from. Errors: as
// SeriesFileReader::read.
Result<void> read_series(std::span<const ColumnSource> sources, std::int64_t start,
                         std::int64_t end, Samples& out, SourceBuffers& buffers,
                         const ColumnSource*& failed);

}  // namespace gpu_telemetry::storage::embedded
