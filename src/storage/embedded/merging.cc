#include "storage/embedded/merging.h"

#include <algorithm>
#include <map>

#include "storage/embedded/column_source.h"
#include "storage/embedded/sealing.h"

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr std::int64_t kGraceMs = 10 * 60 * 1000;  // for what is still on its way
constexpr std::size_t kMaxInputs = 64;

std::uint64_t size_of(const StoredFilePointer& file) { return file->reader().summary().file_bytes; }

// The newest files of a partition (ascending) whose sizes make merging worth while.
std::vector<StoredFilePointer> newest_of_a_size(const std::vector<StoredFilePointer>& files,
                                                bool over) {
  const std::uint64_t factor = over ? 4 : 1;
  const std::size_t least = over ? 2 : 4;
  if (files.size() < least) return {};
  std::size_t begin = files.size() - 1;
  std::uint64_t sum = size_of(files[begin]);
  while (begin > 0 && files.size() - begin < kMaxInputs &&
         size_of(files[begin - 1]) <= factor * sum) {
    sum += size_of(files[--begin]);
  }
  if (files.size() - begin < least) return {};
  return {files.begin() + static_cast<std::ptrdiff_t>(begin), files.end()};
}

// The merged file takes the place of its newest input. A file that is not an input, lies between
// them in age and shares times with them would change places with the older inputs.
bool keeps_order(const FileSet& all, const std::vector<StoredFilePointer>& inputs) {
  std::int64_t first = kMaxTime;
  std::int64_t last = kMinTime;
  for (const auto& input : inputs) {
    first = std::min(first, input->first());
    last = std::max(last, input->last());
  }
  const std::uint64_t oldest = inputs.front()->entry().sequence;
  const std::uint64_t newest = inputs.back()->entry().sequence;
  return std::none_of(all.files().begin(), all.files().end(), [&](const StoredFilePointer& file) {
    return file->entry().sequence >= oldest && file->entry().sequence <= newest &&
           file->first() <= last && file->last() >= first &&
           std::find(inputs.begin(), inputs.end(), file) == inputs.end();
  });
}

struct Partition {
  bool over = false;
  std::vector<StoredFilePointer> files;
};

std::vector<Partition> partitions_of(const FileSet& files, const MergeOptions& options) {
  std::map<std::int64_t, Partition> whole;
  Partition wide;  // files that share partitions
  for (const auto& file : files.files()) {
    if (file->damaged()) continue;
    const std::int64_t start = partition_of(file->first(), options.partition_ms);
    const std::int64_t end = saturating_add(start, options.partition_ms - 1);
    if (file->last() > end) {
      wide.files.push_back(file);
      continue;
    }
    Partition& partition = whole[start];
    partition.over = saturating_add(end, kGraceMs) < options.now;
    partition.files.push_back(file);
  }
  std::vector<Partition> all;
  for (auto& [start, partition] : whole) all.push_back(std::move(partition));
  all.push_back(std::move(wide));
  return all;
}

std::vector<GpuUuid> gpus_of(const std::vector<StoredFilePointer>& inputs) {
  std::vector<GpuUuid> gpus;
  for (const auto& input : inputs) {
    const auto more = input->reader().gpus();
    const auto middle = static_cast<std::ptrdiff_t>(gpus.size());
    gpus.insert(gpus.end(), more.begin(), more.end());
    std::inplace_merge(gpus.begin(), gpus.begin() + middle, gpus.end());
    gpus.erase(std::unique(gpus.begin(), gpus.end()), gpus.end());
  }
  return gpus;
}

class Merger {
 public:
  Merger(const std::vector<StoredFilePointer>& inputs, const FileMetrics& metrics,
         std::int64_t cutoff)
      : inputs_(inputs), metrics_(metrics), cutoff_(cutoff) {}

  // Adds the GPU's columns of all inputs; tells whether there were any.
  Result<bool> add(const GpuUuid& gpu, SeriesFileWriter& writer, StoredFilePointer& damaged) {
    collect(gpu);
    std::size_t used = 0;
    spans_.clear();
    for (std::size_t i = 0; i < sources_.size();) {
      std::size_t end = i + 1;
      while (end < sources_.size() && sources_[end].metric == sources_[i].metric) ++end;
      if (columns_.size() <= used) columns_.emplace_back(std::make_unique<Samples>());
      Samples& column = *columns_[used];
      const ColumnSource* failed = nullptr;
      const auto read = read_series(std::span(sources_).subspan(i, end - i), kMinTime, kMaxTime,
                                    column, buffers_, failed);
      if (!read) {
        for (const auto& input : inputs_) {
          if (input.get() == failed->file) damaged = input;
        }
        return read.error();
      }
      if (!column.empty()) {
        spans_.push_back({sources_[i].metric, column.timestamps, column.values});
        ++used;
      }
      i = end;
    }
    if (spans_.empty()) return false;
    const auto added = writer.add_gpu(gpu, spans_);
    if (!added) return added.error();
    return true;
  }

 private:
  void collect(const GpuUuid& gpu) {
    sources_.clear();
    for (const auto& input : inputs_) {
      for (const ColumnEntry& entry : input->reader().columns(gpu)) {
        const auto metric = metrics_.number(input->metric_ids()[entry.metric]);
        const auto source = ColumnSource::of_file(metric, *input, entry, cutoff_);
        if (source.first <= source.last) sources_.push_back(source);
      }
    }
    std::stable_sort(
        sources_.begin(), sources_.end(),
        [](const ColumnSource& a, const ColumnSource& b) { return a.metric < b.metric; });
  }

  const std::vector<StoredFilePointer>& inputs_;
  const FileMetrics& metrics_;
  const std::int64_t cutoff_;
  std::vector<ColumnSource> sources_;
  std::vector<std::unique_ptr<Samples>> columns_;  // do not move while spans point into them
  std::vector<SeriesColumn> spans_;
  SourceBuffers buffers_;
};

}  // namespace

std::vector<StoredFilePointer> choose_merge(const FileSet& files, const MergeOptions& options) {
  for (const Partition& partition : partitions_of(files, options)) {
    auto inputs = newest_of_a_size(partition.files, partition.over);
    while (inputs.size() >= 2 && !keeps_order(files, inputs)) inputs.erase(inputs.begin());
    if (inputs.size() >= 2) return inputs;
  }
  return {};
}

Result<std::optional<FileEntry>> merge_files(FileFolder& folder, const MetricTable& metrics,
                                             const std::vector<StoredFilePointer>& inputs,
                                             const MergeOptions& options, std::stop_token stop,
                                             StoredFilePointer& damaged) {
  std::vector<std::uint32_t> ids;
  std::int64_t stored_at = kMinTime;
  FileEntry entry = inputs.back()->entry();
  ++entry.level;
  for (const auto& input : inputs) {
    ids.insert(ids.end(), input->metric_ids().begin(), input->metric_ids().end());
    stored_at = std::max(stored_at, input->stored_at());
    entry.partition = std::min(entry.partition, input->entry().partition);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const FileMetrics file_metrics(metrics, ids);
  Merger merger(inputs, file_metrics, options.cutoff);
  const auto written = folder.write(entry, file_metrics, from_unix_milliseconds(stored_at),
                                    [&](SeriesFileWriter& writer) -> Result<bool> {
                                      bool any = false;
                                      for (const GpuUuid& gpu : gpus_of(inputs)) {
                                        if (stop.stop_requested())
                                          return cancelled("merging was stopped");
                                        const auto added = merger.add(gpu, writer, damaged);
                                        if (!added) return added.error();
                                        any |= *added;
                                      }
                                      return any;
                                    });
  if (!written) return written.error();
  if (!*written) return std::optional<FileEntry>();
  const auto published = folder.publish({&entry, 1});
  if (!published) return published.error();
  return std::optional(entry);
}

}  // namespace gpu_telemetry::storage::embedded
