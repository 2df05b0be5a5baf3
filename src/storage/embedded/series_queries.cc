#include "storage/embedded/series_queries.h"

#include <algorithm>
#include <map>
#include <optional>

#include "storage/aggregate_check.h"
#include "storage/embedded/column_source.h"
#include "storage/embedded/metric_scan.h"

namespace gpu_telemetry::storage::embedded {

namespace {

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
// which leaves only a bound for the next; so does damage.
Result<std::int64_t> exact_first(const ColumnSource& source, const DamageReport& report_damage) {
  if (source.head == nullptr && source.entry.first_timestamp >= source.shown_from) {
    return source.first;
  }
  Samples samples;
  SourceBuffers buffers;
  const ColumnSource* failed = nullptr;
  const auto read = read_series({&source, 1}, source.first, source.last, samples, buffers, failed);
  if (!read) {
    const Error error = reported(read.error(), source, report_damage);
    if (error.code == ErrorCode::kCorrupt) return source.first;
    return error;
  }
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
  const std::int64_t start = unix_milliseconds(query.start);
  const std::int64_t end = unix_milliseconds(query.end);
  MetricScan scan(context, metric, start, end, report_damage);
  for (const GpuUuid& gpu : query.gpus) {
    GpuBuckets& entry = answer.emplace_back();
    entry.gpu = gpu;
    const auto done = scan.buckets(gpu, start, end, query.step.count(), entry.buckets);
    if (!done) return done.error();
    if (entry.buckets.empty()) answer.pop_back();
  }
  return answer;
}

Result<std::vector<LatestSample>> latest_samples(const ReadContext& context, const GpuUuid& gpu,
                                                 const DamageReport& report_damage) {
  const SourcesByMetric sources(context, gpu);
  std::vector<LatestSample> answer;
  std::optional<Error> damage;
  Samples samples;
  SourceBuffers buffers;
  for (const auto& [metric, places] : sources.all()) {
    std::int64_t newest = kMinTime;
    for (const ColumnSource& place : places) newest = std::max(newest, place.last);
    const ColumnSource* failed = nullptr;
    const auto read = read_series(places, newest, newest, samples, buffers, failed);
    if (!read) {
      const Error error = reported(read.error(), *failed, report_damage);
      if (error.code != ErrorCode::kCorrupt) return error;
      damage = error;
      continue;
    }
    if (samples.empty()) continue;
    answer.push_back(
        {name_of(context, metric), from_unix_milliseconds(newest), samples.values.back()});
  }
  if (answer.empty() && damage) return *damage;
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
