#include "storage/embedded/metric_scan.h"

#include <algorithm>
#include <iterator>

namespace gpu_telemetry::storage::embedded {

namespace {

void add_to_buckets(const Samples& samples, std::int64_t step, std::vector<Bucket>& out) {
  std::int64_t bucket_end = out.empty() ? kMinTime : unix_milliseconds(out.back().start) + step;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::int64_t time = samples.timestamps[i];
    const double value = samples.values[i];
    if (out.empty() || time >= bucket_end) {
      const std::int64_t start = bucket_of(time, step);
      bucket_end = start + step;
      out.push_back({from_unix_milliseconds(start), 0, 0, value, value, value});
    }
    Bucket& bucket = out.back();
    ++bucket.count;
    bucket.sum += value;
    bucket.min = std::min(bucket.min, value);
    bucket.max = std::max(bucket.max, value);
    bucket.last = value;
  }
}

}  // namespace

std::vector<HeadColumnView> head_views(const ReadContext& context, const GpuUuid& gpu,
                                       std::uint32_t metric) {
  std::vector<HeadColumnView> views;
  if (context.version.frozen) views = context.version.frozen->view(gpu, context.cutoff, metric);
  auto newer = context.version.active->view(gpu, context.cutoff, metric);
  if (views.empty()) return newer;
  std::move(newer.begin(), newer.end(), std::back_inserter(views));
  return views;
}

Error reported(const Error& error, const ColumnSource& source, const DamageReport& report) {
  if (source.file != nullptr && error.code == ErrorCode::kCorrupt) report(*source.file, error);
  return error;
}

MetricScan::MetricScan(const ReadContext& context, std::uint32_t metric, std::int64_t start,
                       std::int64_t end, const DamageReport& report_damage)
    : context_(context), metric_(metric), report_damage_(report_damage) {
  for (const auto& file : context.version.files->files()) {
    if (file->first() > end || file->last() < start) continue;
    const auto& ids = file->metric_ids();
    const auto place = std::find(ids.begin(), ids.end(), metric);
    if (place == ids.end()) continue;
    files_.push_back({file.get(), static_cast<std::uint32_t>(place - ids.begin())});
  }
}

void MetricScan::collect_sources(const GpuUuid& gpu, const std::vector<HeadColumnView>& views,
                                 std::int64_t start, std::int64_t end) {
  sources_.clear();
  const auto take = [&](const ColumnSource& source) {
    if (source.overlaps(start, end)) sources_.push_back(source);
  };
  for (const FileColumn& column : files_) {
    const auto entry = column.file->reader().find_column(gpu, column.metric);
    if (!entry) continue;
    take(ColumnSource::of_file(metric_, *column.file, *entry, context_.cutoff));
  }
  for (const HeadColumnView& view : views) take(ColumnSource::of_head(metric_, view));
}

Result<void> MetricScan::buckets(const GpuUuid& gpu, std::int64_t start, std::int64_t end,
                                 std::int64_t step, std::vector<Bucket>& out) {
  const auto views = head_views(context_, gpu, metric_);
  collect_sources(gpu, views, start, end);
  // Neighbours in time that do not overlap need no merging.
  order_.resize(sources_.size());
  for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
  std::sort(order_.begin(), order_.end(),
            [&](std::size_t a, std::size_t b) { return sources_[a].first < sources_[b].first; });
  for (std::size_t i = 0; i < order_.size();) {
    std::int64_t last = sources_[order_[i]].last;
    std::size_t until = i + 1;
    while (until < order_.size() && sources_[order_[until]].first <= last) {
      last = std::max(last, sources_[order_[until]].last);
      ++until;
    }
    const auto added = add_overlapping(i, until, {start, end, step}, out);
    if (!added) return added;
    i = until;
  }
  return {};
}

// order_[begin, end) overlap each other and nothing else.
Result<void> MetricScan::add_overlapping(std::size_t begin, std::size_t end, const Range& range,
                                         std::vector<Bucket>& out) {
  const ColumnSource& alone = sources_[order_[begin]];
  if (end - begin == 1 && alone.file != nullptr) {
    const auto added = alone.file->reader().aggregate(
        alone.entry, std::max(range.start, alone.shown_from), range.end, range.step, out);
    if (!added) return reported(added.error(), alone, report_damage_);
    return {};
  }
  if (end - begin == 1) {
    alone.head->aggregate(range.start, range.end, range.step, out);
    return {};
  }
  std::sort(order_.begin() + static_cast<std::ptrdiff_t>(begin),
            order_.begin() + static_cast<std::ptrdiff_t>(end));
  overlapping_.clear();
  for (std::size_t i = begin; i < end; ++i) overlapping_.push_back(sources_[order_[i]]);
  const ColumnSource* failed = nullptr;
  const auto read = read_series(overlapping_, range.start, range.end, samples_, buffers_, failed);
  if (!read) return reported(read.error(), *failed, report_damage_);
  add_to_buckets(samples_, range.step, out);
  return {};
}

Result<const Samples*> MetricScan::samples(const GpuUuid& gpu, std::int64_t start,
                                           std::int64_t end) {
  const auto views = head_views(context_, gpu, metric_);
  collect_sources(gpu, views, start, end);
  const ColumnSource* failed = nullptr;
  const auto read = read_series(sources_, start, end, samples_, buffers_, failed);
  if (!read) return reported(read.error(), *failed, report_damage_);
  return &samples_;
}

}  // namespace gpu_telemetry::storage::embedded
