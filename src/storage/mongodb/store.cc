#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "concurrency/thread_annotations.h"
#include "observability/metrics.h"
#include "storage/aggregate_check.h"
#include "storage/batch_check.h"
#include "storage/mongodb/fleet_points.h"
#include "storage/mongodb/gpu_collection.h"
#include "storage/mongodb/mongodb_store.h"
#include "storage/mongodb/point_aggregation.h"
#include "storage/mongodb/point_groups.h"
#include "storage/mongodb/point_id.h"
#include "storage/mongodb/point_query.h"
#include "storage/mongodb/point_writer.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

using concurrency::Mutex;
using concurrency::MutexLock;

// The same names as the embedded store's: whoever watches them need not know which it is.
class WriteMetrics {
 public:
  explicit WriteMetrics(observability::Metrics* metrics) {
    if (metrics == nullptr) return;
    samples_ = &metrics->counter("gpu_telemetry_store_samples_written_total",
                                 "Samples written, repeated ones included.");
    seconds_ =
        &metrics->histogram("gpu_telemetry_store_write_seconds", "Time until a write was durable.",
                            observability::latency_buckets());
  }
  void wrote(std::size_t samples, std::chrono::nanoseconds took) {
    if (samples_ == nullptr) return;
    samples_->Increment(static_cast<double>(samples));
    seconds_->Observe(std::chrono::duration<double>(took).count());
  }

 private:
  prometheus::Counter* samples_ = nullptr;
  prometheus::Histogram* seconds_ = nullptr;
};

class Store final : public MongodbStore {
 public:
  Store(MongodbStoreOptions options, std::shared_ptr<const ConnectionPool> pool)
      : options_(std::move(options)),
        clock_(options_.clock != nullptr ? *options_.clock : system_clock()),
        concern_(options_.operation_timeout),
        metrics_(options_.metrics),
        pool_(std::move(pool)) {}

  Result<void> replace_uri(const std::string& uri) override {
    MongodbStoreOptions options = options_;
    options.uri = uri;
    options.database = pool()->database();
    auto opened = ConnectionPool::open(options);
    if (!opened) return opened.error();
    std::shared_ptr<const ConnectionPool> replaced = std::move(*opened);
    const MutexLock lock(mutex_);
    pool_.swap(replaced);  // the old one goes with its last call or cursor
    return {};
  }

  Result<void> write(std::span<const BatchToWrite> batches) override {
    const auto began = std::chrono::steady_clock::now();
    for (const BatchToWrite& batch : batches) {
      if (batch.batch == nullptr) return invalid("a batch to write is missing (null)");
      const auto checked = check_batch(*batch.batch, kLastPointTime);
      if (!checked) return checked;
    }
    const PointBatch points(batches);
    if (points.points() == 0) return {};
    const auto written = write_points(points);
    if (written) {
      metrics_.wrote(points.samples(), std::chrono::steady_clock::now() - began);
    } else if (written.error().code != ErrorCode::kInvalid) {
      // Whatever serves next may be another server, or one that has lost everything.
      registry_.forget();
      has_indexes_ = false;
    }
    return written;
  }

  Result<std::unique_ptr<SampleCursor>> query(const SampleQuery& query) override {
    auto connection = pool()->take();
    if (!connection) return connection.error();
    std::vector<std::string> metrics;
    if (query.metrics.empty()) {
      const auto hours = MetricRegistry::read(*connection, query.gpu);
      if (!hours) return hours.error();
      for (const MetricHours& metric : *hours) metrics.push_back(metric.metric);
    } else {
      // Another name is nobody's, and would be read as a path.
      for (const std::string& name : query.metrics) {
        if (is_valid_metric_name(name)) metrics.push_back(name);
      }
      std::sort(metrics.begin(), metrics.end());
      metrics.erase(std::unique(metrics.begin(), metrics.end()), metrics.end());
    }
    return find_points(std::move(*connection), query, std::move(metrics), !query.metrics.empty());
  }

  Result<std::vector<GpuBuckets>> aggregate(const AggregateQuery& query) override {
    const auto checked = check_aggregate(query);
    if (!checked) return checked.error();
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return aggregate_points(*connection, query);
  }

  Result<std::vector<GroupSeries>> aggregate_groups(const GroupQuery& query) override {
    const auto checked = check_groups(query);
    if (!checked) return checked.error();
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return aggregate_point_groups(*connection, query);
  }

  Result<LatestTable> latest_values(const LatestQuery& query) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return latest_point_values(*connection, query);
  }

  Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid> gpus) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return point_intervals(*connection, gpus);
  }

  Result<std::vector<LatestSample>> latest(const GpuUuid& gpu) override {
    const auto hours = read_hours(gpu);
    if (!hours) return hours.error();
    return outermost_samples(*pool(), gpu, *hours, Order::kNewestFirst);
  }

  Result<std::vector<MetricPresence>> metrics_of(const GpuUuid& gpu) override {
    const auto hours = read_hours(gpu);
    if (!hours) return hours.error();
    const auto newest = outermost_samples(*pool(), gpu, *hours, Order::kNewestFirst);
    if (!newest) return newest.error();
    const auto oldest = outermost_samples(*pool(), gpu, *hours, Order::kOldestFirst);
    if (!oldest) return oldest.error();
    // Both are sorted; a metric that came or expired between the two is in one of them only.
    std::vector<MetricPresence> present;
    auto first = oldest->begin();
    for (const LatestSample& last : *newest) {
      while (first != oldest->end() && first->metric < last.metric) ++first;
      if (first == oldest->end() || first->metric != last.metric) continue;
      present.push_back({last.metric, first->timestamp, last.timestamp});
    }
    return present;
  }

  Result<std::vector<std::string>> metric_names() override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return MetricRegistry::names(*connection);
  }

  Result<void> check_health() override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    Document ping;
    ping.integer("ping", 1);
    return connection->run(ping, "asking whether it answers");
  }

  Result<void> observe(std::span<const GpuObservation> observations) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return observe_gpus(*connection, concern_, observations);
  }

  Result<GpuPage> list(const GpuFilter& filter, std::optional<GpuUuid> after,
                       std::uint64_t limit) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return list_gpus(*connection, filter, after, limit);
  }

  Result<GpuRecord> find(const GpuUuid& uuid) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return find_gpu(*connection, uuid);
  }

  Result<std::vector<AttributionInterval>> attribution(const GpuUuid& uuid, Timestamp start,
                                                       Timestamp end) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return attribution_of(*connection, uuid, start, end);
  }

  Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force(
      std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) override {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return attribution_in_force_of(*connection, uuids, start, end);
  }

 private:
  std::shared_ptr<const ConnectionPool> pool() {
    const MutexLock lock(mutex_);
    return pool_;
  }

  Result<void> write_points(const PointBatch& points) {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    const auto indexed = make_indexes(*connection);
    if (!indexed) return indexed;
    const auto recorded =
        registry_.record(*connection, concern_, points.metric_times(), points.names());
    if (!recorded) return recorded;
    const Timestamp now = clock_.now();
    const auto fill = [&](std::size_t i, Document& selector, Document& update) {
      return points.fill_upsert(i, now, options_.retention, selector, update);
    };
    return upsert_all(*connection, kPointsCollection, points.points(), concern_,
                      "storing telemetry", fill);
  }

  // The index under which MongoDB removes what has expired. Making it again changes nothing.
  Result<void> make_indexes(const Connection& connection) {
    if (has_indexes_) return {};
    Document key;
    key.integer("expires_at", 1);
    Document index;
    index.document("key", key).text("name", "expires_at").integer("expireAfterSeconds", 0);
    Array indexes;
    indexes.add(index);
    Document command;
    command.text("createIndexes", kPointsCollection).array("indexes", indexes.list());
    const auto made = connection.run(command, "making the index that lets readings expire");
    if (!made) return made;
    has_indexes_ = true;
    return {};
  }

  Result<std::vector<MetricHours>> read_hours(const GpuUuid& gpu) {
    const auto connection = pool()->take();
    if (!connection) return connection.error();
    return MetricRegistry::read(*connection, gpu);
  }

  const MongodbStoreOptions options_;
  const Clock& clock_;
  const WriteConcern concern_;
  WriteMetrics metrics_;
  MetricRegistry registry_;
  std::atomic<bool> has_indexes_{false};

  Mutex mutex_;
  std::shared_ptr<const ConnectionPool> pool_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<MongodbStore>> MongodbStore::open(MongodbStoreOptions options) {
  auto pool = ConnectionPool::open(options);
  if (!pool) return pool.error();
  return std::unique_ptr<MongodbStore>(
      std::make_unique<Store>(std::move(options), std::move(*pool)));
}

}  // namespace gpu_telemetry::storage::mongodb
