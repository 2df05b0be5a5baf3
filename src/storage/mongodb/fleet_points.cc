#include "storage/mongodb/fleet_points.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

#include "storage/mongodb/aggregation_stages.h"
#include "storage/mongodb/point_id.h"
#include "storage/mongodb/point_query.h"
#include "storage/scrape_interval.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

// Ranges of `_id` in one command.
constexpr std::size_t kGpusPerCommand = 100;

// Newest points of a GPU that are read to tell its interval: a scrape may come in several, and a
// metric is in one of them.
constexpr std::int64_t kIntervalPoints = 68;

// The newest reading of one metric among the points of a group: the greatest of [time, value],
// where points without it do not count.
Document newest_reading(const std::string& metric) {
  const std::string value = "$metrics." + metric;
  const auto reading = [&](Document& out, const char* name) { out.text(name, value); };
  const auto nothing = [](Document& out, const char* name) { out.null(name); };
  Document pair;
  pair.text("time", "$timestamp").text("value", value);
  Document choice;
  choice.document("0", operation("$gt", reading, nothing)).document("1", pair).null("2");
  Document either;
  either.array("$cond", choice);
  Document newest;
  newest.document("$max", either);
  return newest;
}

// A member of the answer for each metric, by its number.
Array newest_stages(std::span<const PointRange> ranges, std::span<const std::string> metrics) {
  Document group;
  group.text("_id", "$gpu_uuid");
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    group.document(std::to_string(i), newest_reading(metrics[i]));
  }
  Array stages;
  add_stage(stages, "$match", match_ranges(ranges, {}));
  add_stage(stages, "$group", group);
  return stages;
}

// The gaps of the metric that most of the points have.
class IntervalPoints {
 public:
  Result<void> add(const DocumentView& point) {
    const auto id = point.text("_id");
    const auto time = id ? PointId::time_of(*id) : std::nullopt;
    if (!time) return foreign_document();
    const DocumentView metrics = point.document("metrics");
    if (!metrics.is_there()) return {};
    bson_iter_t member = metrics.begin();
    while (bson_iter_next(&member)) {
      const std::string_view name(bson_iter_key(&member), bson_iter_key_len(&member));
      auto found = times_.find(name);
      if (found == times_.end()) found = times_.emplace(std::string(name), Times{}).first;
      if (newest_ == 0) newest_ = unix_milliseconds(*time);
      found->second.push_back(unix_milliseconds(*time));
    }
    return {};
  }

  // The points came newest first.
  Milliseconds interval() const {
    const Times* most = nullptr;
    for (const auto& [name, times] : times_) {
      if (newest_ - times.front() > Milliseconds{kIntervalLately}.count()) continue;
      if (most == nullptr || times.size() > most->size()) most = &times;
    }
    if (most == nullptr) return Milliseconds{0};
    Times ascending = *most;
    std::reverse(ascending.begin(), ascending.end());
    return median_gap(ascending);
  }

 private:
  using Times = std::vector<std::int64_t>;
  std::map<std::string, Times, std::less<>> times_;
  std::int64_t newest_ = 0;
};

Result<Milliseconds> interval_of(const Connection& connection, const GpuUuid& gpu) {
  Document filter;
  add_id_range(filter, gpu, kFirstPointTime, kLastPointTime);
  Document newest_first;
  newest_first.integer("_id", -1);
  Document projection;
  projection.integer("metrics", 1);
  Document options;
  options.document("sort", newest_first)
      .document("projection", projection)
      .integer("limit", kIntervalPoints);
  const Collection collection = connection.collection(kPointsCollection);
  const Cursor cursor(
      mongoc_collection_find_with_opts(collection.get(), filter.get(), options.get(), nullptr));
  IntervalPoints points;
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor.get(), &document)) {
    const auto added = points.add(DocumentView(document));
    if (!added) return added.error();
  }
  const auto ended = connection.end_of(cursor, "reading how often a GPU is scraped");
  if (!ended) return ended.error();
  return points.interval();
}

}  // namespace

Result<LatestTable> latest_point_values(const Connection& connection, const LatestQuery& query) {
  LatestTable table;
  const std::size_t cells = query.gpus.size() * query.metrics.size();
  table.values.resize(cells, std::numeric_limits<double>::quiet_NaN());
  table.times.resize(cells, Timestamp::min());
  // Another name is nobody's, and would be read as a path.
  std::vector<std::string> metrics;
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < query.metrics.size(); ++i) {
    if (!is_valid_metric_name(query.metrics[i])) continue;
    metrics.push_back(query.metrics[i]);
    columns.push_back(i);
  }
  if (metrics.empty()) return table;
  std::unordered_map<GpuUuid, std::size_t> rows;
  std::vector<PointRange> ranges;
  for (std::size_t i = 0; i < query.gpus.size(); ++i) {
    const LatestQuery::Place& place = query.gpus[i];
    if (place.since > kLastPointTime) continue;
    rows.emplace(place.gpu, i);
    ranges.push_back({place.gpu, place.since, kLastPointTime});
  }
  std::span<const PointRange> left = ranges;
  while (!left.empty()) {
    const std::size_t size = std::min(left.size(), kGpusPerCommand);
    const auto read =
        run_pipeline(connection, newest_stages(left.first(size), metrics),
                     "reading newest telemetry", [&](const DocumentView& view) -> Result<void> {
                       const auto text = view.text("_id");
                       GpuUuid gpu;
                       if (!text || !GpuUuid::try_parse(*text, gpu) || !rows.contains(gpu)) {
                         return foreign_document();
                       }
                       const std::size_t row = rows.at(gpu) * query.metrics.size();
                       for (std::size_t m = 0; m < metrics.size(); ++m) {
                         const DocumentView newest = view.document(std::to_string(m).c_str());
                         const auto value = newest.number("value");
                         const auto time = newest.date("time");
                         if (!value || !time) continue;
                         table.values[row + columns[m]] = *value;
                         table.times[row + columns[m]] = *time;
                       }
                       return {};
                     });
    if (!read) return read.error();
    left = left.subspan(size);
  }
  return table;
}

Result<std::vector<Milliseconds>> point_intervals(const Connection& connection,
                                                  std::span<const GpuUuid> gpus) {
  std::vector<Milliseconds> intervals;
  intervals.reserve(gpus.size());
  for (const GpuUuid& gpu : gpus) {
    const auto interval = interval_of(connection, gpu);
    if (!interval) return interval.error();
    intervals.push_back(*interval);
  }
  return intervals;
}

}  // namespace gpu_telemetry::storage::mongodb
