#include "storage/embedded/series_queries.h"

#include <algorithm>
#include <map>

#include "storage/aggregate_check.h"
#include "storage/embedded/column_source.h"

namespace gpu_telemetry::storage::embedded {

namespace {

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

std::int64_t bucket_of(std::int64_t timestamp, std::int64_t step) {
  const std::int64_t rest = timestamp % step;
  return timestamp - (rest < 0 ? rest + step : rest);
}

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

// Aggregates one metric of GPU after GPU.
class Aggregator {
 public:
  Aggregator(const ReadContext& context, const AggregateQuery& query, std::uint32_t metric,
             const DamageReport& report_damage)
      : context_(context),
        start_(unix_milliseconds(query.start)),
        end_(unix_milliseconds(query.end)),
        step_(query.step.count()),
        metric_(metric),
        report_damage_(report_damage) {
    for (const auto& file : context.version.files->files()) {
      if (file->first() > end_ || file->last() < start_) continue;
      const auto& ids = file->metric_ids();
      const auto place = std::find(ids.begin(), ids.end(), metric);
      if (place == ids.end()) continue;
      files_.push_back({file.get(), static_cast<std::uint32_t>(place - ids.begin())});
    }
  }

  Result<void> run(const GpuUuid& gpu, std::vector<Bucket>& out) {
    const auto views = head_views(context_, gpu, metric_);
    collect_sources(gpu, views);
    // Neighbours in time that do not overlap need no merging.
    order_.resize(sources_.size());
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
    std::sort(order_.begin(), order_.end(),
              [&](std::size_t a, std::size_t b) { return sources_[a].first < sources_[b].first; });
    for (std::size_t i = 0; i < order_.size();) {
      std::int64_t last = sources_[order_[i]].last;
      std::size_t end = i + 1;
      while (end < order_.size() && sources_[order_[end]].first <= last) {
        last = std::max(last, sources_[order_[end]].last);
        ++end;
      }
      const auto added = add_overlapping(i, end, out);
      if (!added) return added;
      i = end;
    }
    return {};
  }

 private:
  struct FileColumn {
    const StoredFile* file = nullptr;
    std::uint32_t metric = 0;  // the file's number
  };

  void collect_sources(const GpuUuid& gpu, const std::vector<HeadColumnView>& views) {
    sources_.clear();
    const auto take = [&](const ColumnSource& source) {
      if (source.overlaps(start_, end_)) sources_.push_back(source);
    };
    for (const FileColumn& column : files_) {
      const auto entry = column.file->reader().find_column(gpu, column.metric);
      if (!entry) continue;
      take(ColumnSource::of_file(metric_, *column.file, *entry, context_.cutoff));
    }
    for (const HeadColumnView& view : views) take(ColumnSource::of_head(metric_, view));
  }

  // order_[begin, end) overlap each other and nothing else.
  Result<void> add_overlapping(std::size_t begin, std::size_t end, std::vector<Bucket>& out) {
    const ColumnSource& alone = sources_[order_[begin]];
    if (end - begin == 1 && alone.file != nullptr) {
      const auto added = alone.file->reader().aggregate(
          alone.entry, std::max(start_, alone.shown_from), end_, step_, out);
      if (!added) return reported(added.error(), alone, report_damage_);
      return {};
    }
    std::sort(order_.begin() + static_cast<std::ptrdiff_t>(begin),
              order_.begin() + static_cast<std::ptrdiff_t>(end));
    overlapping_.clear();
    for (std::size_t i = begin; i < end; ++i) overlapping_.push_back(sources_[order_[i]]);
    const ColumnSource* failed = nullptr;
    const auto read = read_series(overlapping_, start_, end_, samples_, buffers_, failed);
    if (!read) return reported(read.error(), *failed, report_damage_);
    add_to_buckets(samples_, step_, out);
    return {};
  }

  const ReadContext& context_;
  const std::int64_t start_;
  const std::int64_t end_;
  const std::int64_t step_;
  const std::uint32_t metric_;
  const DamageReport& report_damage_;
  std::vector<FileColumn> files_;      // ascending sequence
  std::vector<ColumnSource> sources_;  // those written later last
  std::vector<std::size_t> order_;
  std::vector<ColumnSource> overlapping_;
  Samples samples_;
  SourceBuffers buffers_;
};

// Every place in which the GPU has samples, by metric number, those written later last.
class SourcesByMetric {
 public:
  SourcesByMetric(const ReadContext& context, const GpuUuid& gpu)
      : views_(head_views(context, gpu, Head::kAllMetrics)) {
    for (const auto& file : context.version.files->files()) {
      for (const ColumnEntry& entry : file->reader().columns(gpu)) {
        const std::uint32_t metric = file->metric_ids()[entry.metric];
        add(ColumnSource::of_file(metric, *file, entry, context.cutoff));
      }
    }
    for (const HeadColumnView& view : views_) add(ColumnSource::of_head(view.metric(), view));
  }

  const std::map<std::uint32_t, std::vector<ColumnSource>>& all() const { return sources_; }

 private:
  void add(const ColumnSource& source) {
    if (source.first <= source.last) sources_[source.metric].push_back(source);
  }

  std::vector<HeadColumnView> views_;
  std::map<std::uint32_t, std::vector<ColumnSource>> sources_;
};

std::string name_of(const ReadContext& context, std::uint32_t metric) {
  return std::string(context.metrics->names({metric}).front());
}

// The timestamp of the first sample that is shown. The first of a file's column may have expired,
// which leaves only a bound for the next.
Result<std::int64_t> exact_first(const ColumnSource& source, const DamageReport& report_damage) {
  if (source.head == nullptr && source.entry.first_timestamp >= source.shown_from) {
    return source.first;
  }
  Samples samples;
  SourceBuffers buffers;
  const ColumnSource* failed = nullptr;
  const auto read = read_series({&source, 1}, source.first, source.last, samples, buffers, failed);
  if (!read) return reported(read.error(), source, report_damage);
  return samples.empty() ? kMaxTime : samples.timestamps.front();
}

}  // namespace

Result<std::vector<GpuBuckets>> aggregate_series(const ReadContext& context,
                                                 const AggregateQuery& query,
                                                 const DamageReport& report_damage) {
  const auto checked = check_aggregate(query);
  if (!checked) return checked.error();
  std::vector<GpuBuckets> answer;
  answer.reserve(query.gpus.size());
  const std::uint32_t metric = context.metrics->find(query.metric);
  if (metric == MetricTable::kUnknown || query.start > query.end) return answer;
  Aggregator aggregator(context, query, metric, report_damage);
  for (const GpuUuid& gpu : query.gpus) {
    GpuBuckets& entry = answer.emplace_back();
    entry.gpu = gpu;
    const auto done = aggregator.run(gpu, entry.buckets);
    if (!done) return done.error();
    if (entry.buckets.empty()) answer.pop_back();
  }
  return answer;
}

Result<std::vector<LatestSample>> latest_samples(const ReadContext& context, const GpuUuid& gpu,
                                                 const DamageReport& report_damage) {
  const SourcesByMetric sources(context, gpu);
  std::vector<LatestSample> answer;
  Samples samples;
  SourceBuffers buffers;
  for (const auto& [metric, places] : sources.all()) {
    std::int64_t newest = kMinTime;
    for (const ColumnSource& place : places) newest = std::max(newest, place.last);
    const ColumnSource* failed = nullptr;
    const auto read = read_series(places, newest, newest, samples, buffers, failed);
    if (!read) return reported(read.error(), *failed, report_damage);
    if (samples.empty()) continue;
    answer.push_back(
        {name_of(context, metric), from_unix_milliseconds(newest), samples.values.back()});
  }
  std::sort(answer.begin(), answer.end(),
            [](const LatestSample& a, const LatestSample& b) { return a.metric < b.metric; });
  return answer;
}

Result<std::vector<MetricPresence>> metric_presence(const ReadContext& context, const GpuUuid& gpu,
                                                    const DamageReport& report_damage) {
  const SourcesByMetric sources(context, gpu);
  std::vector<MetricPresence> answer;
  for (const auto& [metric, places] : sources.all()) {
    std::int64_t first = kMaxTime;
    std::int64_t last = kMinTime;
    for (const ColumnSource& place : places) {
      if (place.first < first) {
        const auto exact = exact_first(place, report_damage);
        if (!exact) return exact.error();
        first = std::min(first, *exact);
      }
      last = std::max(last, place.last);
    }
    if (first > last) continue;
    answer.push_back(
        {name_of(context, metric), from_unix_milliseconds(first), from_unix_milliseconds(last)});
  }
  std::sort(answer.begin(), answer.end(),
            [](const MetricPresence& a, const MetricPresence& b) { return a.metric < b.metric; });
  return answer;
}

}  // namespace gpu_telemetry::storage::embedded
