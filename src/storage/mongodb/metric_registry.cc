#include "storage/mongodb/metric_registry.h"

#include <algorithm>
#include <set>

#include "storage/mongodb/point_id.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

using concurrency::MutexLock;

// Past these the memory of what is known starts anew, so that made-up names cannot fill it.
constexpr std::size_t kMostNames = 20'000;
constexpr std::size_t kMostGpus = 200'000;

Timestamp hour_of(Timestamp time) { return std::chrono::floor<std::chrono::hours>(time); }

}  // namespace

std::vector<std::uint32_t> MetricRegistry::ids_of(std::span<const std::string_view> names) {
  if (ids_.size() > kMostNames || known_.size() > kMostGpus) {
    ids_.clear();
    known_.clear();
    ++forgotten_;
  }
  std::vector<std::uint32_t> ids;
  ids.reserve(names.size());
  for (const std::string_view name : names) {
    ids.push_back(
        ids_.try_emplace(std::string(name), static_cast<std::uint32_t>(ids_.size())).first->second);
  }
  return ids;
}

Result<void> MetricRegistry::record(const Connection& connection, const WriteConcern& concern,
                                    std::span<const GpuMetricTimes> gpus,
                                    std::span<const std::string_view> names) {
  std::vector<GpuMetricTimes> news;
  std::vector<std::uint32_t> ids;
  std::uint64_t forgotten = 0;
  {
    const MutexLock lock(mutex_);
    ids = ids_of(names);
    forgotten = forgotten_;
    for (const GpuMetricTimes& gpu : gpus) {
      const auto found = known_.find(gpu.gpu);
      GpuMetricTimes unknown{gpu.gpu, {}};
      for (const MetricTimes& times : gpu.metrics) {
        const std::uint32_t id = ids[times.metric];
        const Hours hours =
            found != known_.end() && id < found->second.size() ? found->second[id] : Hours{};
        const MetricTimes now{times.metric, hour_of(times.first), hour_of(times.last)};
        if (now.first < hours.first || now.last > hours.last) unknown.metrics.push_back(now);
      }
      if (!unknown.metrics.empty()) news.push_back(std::move(unknown));
    }
  }
  if (news.empty()) return {};

  const auto recorded = upsert_all(
      connection, kMetricsCollection, news.size(), concern, "recording the metrics of GPUs",
      [&](std::size_t i, Document& selector, Document& update) -> Result<void> {
        selector.text("_id", news[i].gpu.to_string());
        Document first;
        Document last;
        for (const MetricTimes& times : news[i].metrics) {
          const std::string path = "metrics." + std::string(names[times.metric]);
          first.date(path + ".first", times.first);
          last.date(path + ".last", times.last);
        }
        update.document("$min", first).document("$max", last);
        return {};
      });
  if (!recorded) return recorded;

  const MutexLock lock(mutex_);
  if (forgotten != forgotten_) return {};
  for (const GpuMetricTimes& gpu : news) {
    std::vector<Hours>& known = known_[gpu.gpu];
    for (const MetricTimes& times : gpu.metrics) {
      const std::uint32_t id = ids[times.metric];
      if (id >= known.size()) known.resize(id + 1);
      known[id].first = std::min(known[id].first, times.first);
      known[id].last = std::max(known[id].last, times.last);
    }
  }
  return {};
}

Result<std::vector<MetricHours>> MetricRegistry::read(const Connection& connection,
                                                      const GpuUuid& gpu) {
  constexpr std::string_view kDoing = "reading which metrics a GPU has";
  const Collection collection = connection.collection(kMetricsCollection);
  Document filter;
  filter.text("_id", gpu.to_string());
  const Cursor cursor(
      mongoc_collection_find_with_opts(collection.get(), filter.get(), nullptr, nullptr));
  std::vector<MetricHours> all;
  const bson_t* found = nullptr;
  if (mongoc_cursor_next(cursor.get(), &found)) {
    const DocumentView metrics = DocumentView(found).document("metrics");
    if (!metrics.is_there()) return all;
    bson_iter_t metric = metrics.begin();
    while (bson_iter_next(&metric)) {
      const DocumentView hours = DocumentView::document_at(metric);
      const auto first = hours.date("first");
      const auto last = hours.date("last");
      if (!first || !last) {
        return corrupt("MongoDB: " + std::string(kMetricsCollection) + " " + gpu.to_string() +
                       ": metrics." + bson_iter_key(&metric) + " has no dates first and last");
      }
      all.push_back({bson_iter_key(&metric), *first, *last});
    }
  }
  const auto ended = connection.end_of(cursor, kDoing);
  if (!ended) return ended.error();
  std::sort(all.begin(), all.end(),
            [](const MetricHours& a, const MetricHours& b) { return a.metric < b.metric; });
  return all;
}

Result<std::vector<std::string>> MetricRegistry::names(const Connection& connection) {
  const Collection collection = connection.collection(kMetricsCollection);
  const Document everything;
  const Cursor cursor(
      mongoc_collection_find_with_opts(collection.get(), everything.get(), nullptr, nullptr));
  std::set<std::string, std::less<>> names;
  const bson_t* found = nullptr;
  while (mongoc_cursor_next(cursor.get(), &found)) {
    const DocumentView metrics = DocumentView(found).document("metrics");
    if (!metrics.is_there()) continue;
    bson_iter_t metric = metrics.begin();
    while (bson_iter_next(&metric)) {
      const std::string_view name = bson_iter_key(&metric);
      if (!names.contains(name)) names.emplace(name);
    }
  }
  const auto ended = connection.end_of(cursor, "reading which metrics there are");
  if (!ended) return ended.error();
  return std::vector<std::string>(names.begin(), names.end());
}

void MetricRegistry::forget() {
  const MutexLock lock(mutex_);
  known_.clear();
  ++forgotten_;
}

}  // namespace gpu_telemetry::storage::mongodb
