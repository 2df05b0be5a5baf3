#include "storage/embedded/sealing.h"

#include <algorithm>
#include <map>

namespace gpu_telemetry::storage::embedded {

namespace {

// A stretch of time that becomes one file.
struct Stretch {
  std::int64_t partition = 0;  // the first that it covers
  std::int64_t end = 0;        // inclusive
  std::int64_t stored_at = kMinTime;
};

struct Survey {
  std::vector<Stretch> stretches;      // ascending in time
  std::vector<std::uint32_t> metrics;  // the store's numbers
};

void note(std::map<std::int64_t, Stretch>& partitions, std::int64_t start,
          std::int64_t partition_ms, const HeadColumnView& view) {
  Stretch& stretch = partitions[start];
  stretch.partition = start;
  stretch.end = saturating_add(start, partition_ms - 1);
  stretch.stored_at = std::max(stretch.stored_at, view.stored_at(start, stretch.end));
}

// Looks through the head once: which partitions, which metrics.
Survey survey(const SealRequest& request, const std::vector<GpuUuid>& gpus) {
  std::map<std::int64_t, Stretch> partitions;
  std::vector<bool> seen(request.metrics->size(), false);
  Samples samples;
  Samples scratch;
  for (const GpuUuid& gpu : gpus) {
    for (const HeadColumnView& view : request.head->view(gpu, request.cutoff)) {
      seen[view.metric()] = true;
      const std::int64_t partition = partition_of(view.first(), request.partition_ms);
      if (partition_of(view.last(), request.partition_ms) == partition) {
        // The usual case, told from the bounds alone.
        note(partitions, partition, request.partition_ms, view);
        continue;
      }
      view.read(kMinTime, kMaxTime, samples, scratch);
      auto at = samples.timestamps.begin();
      while (at != samples.timestamps.end()) {
        const std::int64_t start = partition_of(*at, request.partition_ms);
        note(partitions, start, request.partition_ms, view);
        at = std::upper_bound(at, samples.timestamps.end(), partitions[start].end);
      }
    }
  }
  Survey result;
  for (const auto& [start, stretch] : partitions) result.stretches.push_back(stretch);
  for (std::uint32_t id = 0; id < seen.size(); ++id) {
    if (seen[id]) result.metrics.push_back(id);
  }
  return result;
}

// Joins neighbours until there are no more than kMaxFilesOfSeal.
std::vector<Stretch> joined(std::vector<Stretch> stretches) {
  if (stretches.size() <= kMaxFilesOfSeal) return stretches;
  const std::size_t per_file = (stretches.size() + kMaxFilesOfSeal - 1) / kMaxFilesOfSeal;
  std::vector<Stretch> fewer;
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    if (i % per_file == 0) {
      fewer.push_back(stretches[i]);
      continue;
    }
    fewer.back().end = stretches[i].end;
    fewer.back().stored_at = std::max(fewer.back().stored_at, stretches[i].stored_at);
  }
  return fewer;
}

Result<bool> fill_stretch(const SealRequest& request, const std::vector<GpuUuid>& gpus,
                          const Stretch& stretch, const FileMetrics& metrics,
                          SeriesFileWriter& writer, const std::stop_token& stop) {
  struct Column {
    std::uint32_t metric = 0;
    Samples samples;
  };
  std::vector<Column> columns;
  std::vector<SeriesColumn> spans;
  Samples scratch;
  bool any = false;
  for (const GpuUuid& gpu : gpus) {
    if (stop.stop_requested()) return cancelled("sealing was stopped");
    const auto views = request.head->view(gpu, request.cutoff);
    if (columns.size() < views.size()) columns.resize(views.size());
    std::size_t used = 0;
    for (const HeadColumnView& view : views) {
      Column& column = columns[used];
      view.read(stretch.partition, stretch.end, column.samples, scratch);
      if (column.samples.empty()) continue;
      column.metric = metrics.number(view.metric());
      ++used;
    }
    if (used == 0) continue;
    std::sort(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(used),
              [](const Column& a, const Column& b) { return a.metric < b.metric; });
    spans.clear();
    for (std::size_t i = 0; i < used; ++i) {
      spans.push_back(
          {columns[i].metric, columns[i].samples.timestamps, columns[i].samples.values});
    }
    const auto added = writer.add_gpu(gpu, spans);
    if (!added) return added.error();
    any = true;
  }
  return any;
}

}  // namespace

Result<std::vector<FileEntry>> seal_head(FileFolder& folder, const SealRequest& request,
                                         std::stop_token stop) {
  const std::vector<GpuUuid> gpus = request.head->gpus();
  const Survey found = survey(request, gpus);
  const FileMetrics metrics(*request.metrics, found.metrics);
  std::vector<FileEntry> entries;
  for (const Stretch& stretch : joined(found.stretches)) {
    FileEntry entry;
    entry.partition = stretch.partition;
    entry.sequence = request.sequence;
    const auto written = folder.write(
        entry, metrics, from_unix_milliseconds(stretch.stored_at), [&](SeriesFileWriter& writer) {
          return fill_stretch(request, gpus, stretch, metrics, writer, stop);
        });
    if (!written) return written.error();
    if (*written) entries.push_back(entry);
  }
  const auto published = folder.publish(entries);
  if (!published) return published.error();
  return entries;
}

}  // namespace gpu_telemetry::storage::embedded
