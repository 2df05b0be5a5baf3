#include "storage/mongodb/point_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <unordered_map>

#include "storage/mongodb/point_id.h"
#include "storage/row_cursor.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

constexpr std::string_view kReading = "reading telemetry";

// Only points that have one of the metrics, so that the others stay where they are.
void add_any_of(Document& filter, std::span<const std::string> metrics) {
  Document exists;
  exists.boolean("$exists", true);
  if (metrics.size() == 1) {
    filter.document("metrics." + metrics[0], exists);
    return;
  }
  Array alternatives;
  for (const std::string& metric : metrics) {
    Document alternative;
    alternative.document("metrics." + metric, exists);
    alternatives.add(alternative);
  }
  filter.array("$or", alternatives.list());
}

// Reads documents ahead by one block of the driver, samples by one of ours.
class PointCursor final : public RowCursor {
 public:
  PointCursor(Connection connection, const SampleQuery& query, std::vector<std::string> metrics,
              const PointFind& find, std::uint32_t block)
      : connection_(std::move(connection)),
        collection_(connection_.collection(kPointsCollection)),
        cursor_(mongoc_collection_find_with_opts(collection_.get(), find.filter.get(),
                                                 find.options.get(), nullptr)),
        metrics_(std::move(metrics)),
        after_(query.after),
        limit_(query.limit),
        block_(block) {
    for (std::uint32_t i = 0; i < metrics_.size(); ++i) index_.emplace(metrics_[i], i);
  }

  Result<std::span<const StoredSample>> next() override {
    samples_.clear();
    if (failed_) return *failed_;
    while (samples_.size() < block_ && !ended_) {
      const auto read = read_point();
      if (read) continue;
      failed_ = read.error();
      if (samples_.empty()) return *failed_;
      break;  // what was right comes first
    }
    return std::span<const StoredSample>(samples_);
  }

  std::span<const std::string> metric_names() const override { return metrics_; }

 private:
  Result<void> read_point() {
    const bson_t* document = nullptr;
    if (!mongoc_cursor_next(cursor_.get(), &document)) {
      ended_ = true;
      return connection_.end_of(cursor_, kReading);
    }
    const DocumentView point(document);
    const auto id = point.text("_id");
    const auto time = id ? PointId::time_of(*id) : std::nullopt;
    if (!time) {
      return corrupt("MongoDB: telemetry_points has a document whose _id is not UUID|MILLISECONDS");
    }
    const std::size_t before = samples_.size();
    const auto read = read_samples(point.document("metrics"), *id, *time);
    if (!read) {
      samples_.resize(before);
      return read;
    }
    const auto first = samples_.begin() + static_cast<std::ptrdiff_t>(before);
    const auto by_metric = [](const StoredSample& a, const StoredSample& b) {
      return a.metric < b.metric;
    };
    if (!std::is_sorted(first, samples_.end(), by_metric)) {
      std::sort(first, samples_.end(), by_metric);
    }
    given_ += samples_.size() - before;
    if (limit_ != 0 && given_ >= limit_) {
      samples_.resize(samples_.size() - (given_ - limit_));
      ended_ = true;
    }
    return {};
  }

  Result<void> read_samples(const DocumentView& metrics, std::string_view id, Timestamp time) {
    if (!metrics.is_there()) return {};
    bson_iter_t member = metrics.begin();
    for (std::size_t place = 0; bson_iter_next(&member); ++place) {
      const auto metric = metric_at(place, {bson_iter_key(&member), bson_iter_key_len(&member)});
      // Not among the names: stored by somebody after the query was made.
      if (!metric) continue;
      if (after_ && time == after_->timestamp && metrics_[*metric] <= after_->metric) continue;
      const auto value = DocumentView::number_at(member);
      if (!value || !std::isfinite(*value)) {
        return corrupt(fmt::format("MongoDB: telemetry_points {}: metrics.{} is no finite number",
                                   id, metrics_[*metric]));
      }
      samples_.push_back({time, *metric, *value});
    }
    return {};
  }

  // Points of one GPU mostly have the same metrics in the same order, so the name at the same place
  // of the point before is tried first.
  std::optional<std::uint32_t> metric_at(std::size_t place, std::string_view name) {
    if (place < previous_.size() && metrics_[previous_[place]] == name) return previous_[place];
    const auto found = index_.find(name);
    if (found == index_.end()) return std::nullopt;
    if (place < previous_.size()) {
      previous_[place] = found->second;
    } else if (place == previous_.size()) {
      previous_.push_back(found->second);
    }
    return found->second;
  }

  // In this order: the driver's cursor goes before what it reads through.
  Connection connection_;
  Collection collection_;
  Cursor cursor_;
  const std::vector<std::string> metrics_;
  std::unordered_map<std::string_view, std::uint32_t> index_;
  const std::optional<SampleKey> after_;
  const std::uint64_t limit_;
  const std::uint32_t block_;
  std::vector<std::uint32_t> previous_;
  std::vector<StoredSample> samples_;
  std::uint64_t given_ = 0;
  bool ended_ = false;
  std::optional<Error> failed_;
};

class NothingCursor final : public RowCursor {
 public:
  explicit NothingCursor(std::vector<std::string> metrics) : metrics_(std::move(metrics)) {}
  Result<std::span<const StoredSample>> next() override { return std::span<const StoredSample>(); }
  std::span<const std::string> metric_names() const override { return metrics_; }

 private:
  const std::vector<std::string> metrics_;
};

// Reads from one end of the query's range until each of `wanted` was met; those leave it.
Result<void> take_outermost(const ConnectionPool& pool, const SampleQuery& query,
                            std::map<std::string, LatestSample>& found,
                            std::vector<std::string>& wanted) {
  // Nearly always the first point has them all.
  constexpr std::uint32_t kBlock = 32;
  auto connection = pool.take();
  if (!connection) return connection.error();
  std::sort(wanted.begin(), wanted.end());
  auto cursor = find_points(std::move(*connection), query, wanted, true, kBlock);
  if (!cursor) return cursor.error();
  const auto names = (*cursor)->metric_names();
  std::size_t missing = names.size();
  while (missing > 0) {
    const auto block = (*cursor)->next();
    if (!block) return block.error();
    if (block->empty()) break;
    for (const StoredSample& sample : *block) {
      const std::string& name = names[sample.metric];
      if (found.try_emplace(name, LatestSample{name, sample.timestamp, sample.value}).second) {
        --missing;
      }
    }
  }
  std::erase_if(wanted, [&](const std::string& name) { return found.contains(name); });
  return {};
}

}  // namespace

void add_id_range(Document& filter, const GpuUuid& gpu, Timestamp start, Timestamp end) {
  Document range;
  range.text("$gte", PointId(gpu, start).text()).text("$lte", PointId(gpu, end).text());
  filter.document("_id", range);
}

PointFind make_point_find(const SampleQuery& query, std::span<const std::string> metrics,
                          bool filtered, std::uint32_t block) {
  Timestamp start = query.start;
  Timestamp end = query.end;
  if (query.after && query.order == Order::kNewestFirst)
    end = std::min(end, query.after->timestamp);
  if (query.after && query.order == Order::kOldestFirst) {
    start = std::max(start, query.after->timestamp);
  }
  PointFind find;
  add_id_range(find.filter, query.gpu, start, end);
  Document projection;
  if (filtered) {
    add_any_of(find.filter, metrics);
    for (const std::string& metric : metrics) projection.integer("metrics." + metric, 1);
  } else {
    projection.integer("metrics", 1);
  }
  Document sort;
  sort.integer("_id", query.order == Order::kNewestFirst ? -1 : 1);
  find.options.document("sort", sort).document("projection", projection);
  std::uint64_t batch = block;
  if (query.limit != 0) {
    // Each point has a sample at least, but that of `after`.
    const std::uint64_t points = std::min<std::uint64_t>(query.limit, INT32_MAX) + 1;
    find.options.integer("limit", static_cast<std::int64_t>(points));
    batch = std::min(batch, points);
  }
  find.options.integer("batchSize", static_cast<std::int64_t>(batch));
  return find;
}

Result<std::unique_ptr<SampleCursor>> find_points(Connection connection, const SampleQuery& query,
                                                  std::vector<std::string> metrics, bool filtered,
                                                  std::uint32_t block) {
  if (metrics.empty() || query.start > query.end || query.start > kLastPointTime ||
      query.end < kFirstPointTime) {
    return std::unique_ptr<SampleCursor>(std::make_unique<NothingCursor>(std::move(metrics)));
  }
  const PointFind find = make_point_find(query, metrics, filtered, block);
  return std::unique_ptr<SampleCursor>(
      std::make_unique<PointCursor>(std::move(connection), query, std::move(metrics), find, block));
}

Result<std::vector<LatestSample>> outermost_samples(const ConnectionPool& pool, const GpuUuid& gpu,
                                                    std::span<const MetricHours> metrics,
                                                    Order order) {
  const bool newest = order == Order::kNewestFirst;
  std::map<Timestamp, std::vector<std::string>> by_hour;
  Timestamp first = Timestamp::max();
  Timestamp last = Timestamp::min();
  for (const MetricHours& hours : metrics) {
    by_hour[newest ? hours.last : hours.first].push_back(hours.metric);
    first = std::min(first, hours.first);
    last = std::max(last, hours.last);
  }
  constexpr Milliseconds kStep{1};
  SampleQuery query;
  query.gpu = gpu;
  query.order = order;
  std::map<std::string, LatestSample> found;
  std::vector<std::string> left;
  for (auto& [hour, wanted] : by_hour) {
    query.start = hour;
    query.end = hour + kRegistrySpan - kStep;
    const auto taken = take_outermost(pool, query, found, wanted);
    if (!taken) return taken.error();
    left.insert(left.end(), wanted.begin(), wanted.end());
  }
  if (!left.empty()) {
    // Their hour has expired, or was announced and never stored.
    query.start = first;
    query.end = last + kRegistrySpan - kStep;
    const auto taken = take_outermost(pool, query, found, left);
    if (!taken) return taken.error();
  }
  std::vector<LatestSample> samples;
  for (auto& [name, sample] : found) samples.push_back(std::move(sample));
  return samples;
}

}  // namespace gpu_telemetry::storage::mongodb
