#include "storage/embedded/column_source.h"

#include <algorithm>

namespace gpu_telemetry::storage::embedded {

namespace {

Result<void> read_source(const ColumnSource& source, std::int64_t start, std::int64_t end,
                         Samples& out, Samples& scratch) {
  if (source.head != nullptr) {
    source.head->read(start, end, out, scratch);
    return {};
  }
  out.clear();
  return source.file->reader().read(source.entry, std::max(start, source.shown_from), end,
                                    out.timestamps, out.values);
}

}  // namespace

ColumnSource ColumnSource::of_head(std::uint32_t metric, const HeadColumnView& view) {
  ColumnSource source;
  source.metric = metric;
  source.first = view.first();
  source.last = view.last();
  source.samples = view.samples();
  source.head = &view;
  return source;
}

ColumnSource ColumnSource::of_file(std::uint32_t metric, const StoredFile& file,
                                   const ColumnEntry& entry, std::int64_t cutoff) {
  ColumnSource source;
  source.metric = metric;
  source.shown_from = file.shown_from(cutoff);
  source.first = std::max(entry.first_timestamp, source.shown_from);
  source.last = entry.last_timestamp;
  source.samples = entry.samples;
  source.file = &file;
  source.entry = entry;
  return source;
}

double ColumnSource::estimate(std::int64_t start, std::int64_t end) const {
  const std::int64_t from = std::max(start, first);
  const std::int64_t to = std::min(end, last);
  if (from > to) return 0;
  const double share =
      (static_cast<double>(to - from) + 1) / (static_cast<double>(last - first) + 1);
  return static_cast<double>(samples) * share;
}

Result<void> read_series(std::span<const ColumnSource> sources, std::int64_t start,
                         std::int64_t end, Samples& out, SourceBuffers& buffers,
                         const ColumnSource*& failed) {
  out.clear();
  for (const ColumnSource& source : sources) {
    if (!source.overlaps(start, end)) continue;
    Samples& to = out.empty() ? out : buffers.newer;
    const auto read = read_source(source, start, end, to, buffers.scratch);
    if (!read) {
      failed = &source;
      return read.error();
    }
    if (&to != &out) overlay(out, buffers.newer, buffers.scratch);
  }
  return {};
}

}  // namespace gpu_telemetry::storage::embedded
