#include "storage/embedded/store.h"

#include <algorithm>
#include <chrono>

#include "observability/log.h"
#include "storage/batch_check.h"
#include "storage/embedded/fleet_queries.h"
#include "storage/embedded/group_queries.h"
#include "storage/embedded/series_queries.h"

namespace gpu_telemetry::storage::embedded {

namespace {

// Of a series file (docs/formats/store.md).
// The last that can be written as RFC 3339.
constexpr Timestamp kLatestTimestamp = from_unix_milliseconds(253'402'300'799'999);

}  // namespace

Store::Store(EmbeddedStoreOptions options)
    : options_(std::move(options)),
      files_(options_.files != nullptr ? *options_.files : io::posix_file_system()),
      clock_(options_.clock != nullptr ? *options_.clock : system_clock()),
      folder_(files_, options_.path, metrics_),
      store_metrics_(options_.metrics) {}

Store::~Store() {
  store_metrics_.stop_sampling();
  sealer_.request_stop();
  maintainer_.request_stop();
  version_changed_.notify_all();
  if (sealer_.joinable()) sealer_.join();
  if (maintainer_.joinable()) maintainer_.join();
}

Result<std::unique_ptr<Store>> Store::open(EmbeddedStoreOptions options, OpenReport& report) {
  if (options.codec == nullptr) return invalid("the embedded store needs a codec for its journal");
  if (options.path.empty()) return invalid("the embedded store needs the path of a folder");
  if (options.partition.count() <= 0)
    return invalid("the partition of a store must be longer than 0");
  if (options.retention.count() < 0) return invalid("the retention must not be negative");
  std::unique_ptr<Store> store(new Store(std::move(options)));
  const auto recovered = store->recover(report);
  if (!recovered) return recovered.error();
  for (const std::string& damage : report.damage) {
    store->store_metrics_.damaged();
    observability::log_error("stored data is damaged", {{"damage", damage}});
  }
  store->store_metrics_.sample(store->options_.metrics,
                               [raw = store.get()] { return raw->statistics(); });
  if (store->options_.background) store->start_threads();
  return store;
}

Version Store::version() const {
  const std::lock_guard lock(version_mutex_);
  return version_;
}

std::int64_t Store::cutoff() const {
  if (options_.retention.count() == 0) return kMinTime;
  return saturating_subtract(unix_milliseconds(clock_.now()), options_.retention.count());
}

ReadContext Store::read_context() const { return {version(), &metrics_, cutoff()}; }

void Store::note_damage(const StoredFile& file, const Error& error) {
  if (!file.mark_damaged()) return;
  store_metrics_.damaged();
  observability::log_error("a file of the store is damaged; it is kept, and the rest of it is used",
                           {{"file", file.entry().name()}, {"damage", error.message}});
}

DamageReport Store::damage_report() {
  return [this](const StoredFile& file, const Error& error) { note_damage(file, error); };
}

void Store::note_write(const Result<void>& written) {
  if (!written && written.error().code == ErrorCode::kInvalid) return;
  bool had_failed = false;
  {
    const std::lock_guard lock(version_mutex_);
    had_failed = write_failure_.has_value();
    write_failure_.reset();
    if (!written) write_failure_ = written.error();
  }
  if (!written && !had_failed) {
    observability::log_error("the store refuses to be written; it can still be read",
                             {{"path", options_.path}, {"error", written.error().message}});
  } else if (written && had_failed) {
    observability::log_info("the store can be written again", {{"path", options_.path}});
  }
}

Result<void> Store::write(std::span<const BatchToWrite> batches) {
  const auto began = std::chrono::steady_clock::now();
  std::uint64_t samples = 0;
  std::vector<BatchToWrite> filled;
  for (const BatchToWrite& batch : batches) {
    if (batch.batch == nullptr) return invalid("a batch to write is missing (null)");
    const auto checked = check_batch(*batch.batch, kLatestTimestamp);
    if (!checked) return checked;
    if (batch.batch->empty()) continue;
    samples += batch.batch->samples.size();
    filled.push_back(batch);
  }
  if (filled.empty()) return {};
  std::vector<std::vector<std::uint32_t>> metrics(filled.size());
  for (std::size_t i = 0; i < filled.size(); ++i) {
    const auto resolved = metrics_.resolve(filled[i].batch->metrics, metrics[i]);
    if (!resolved) return resolved;
  }
  auto written = make_room();
  if (written) written = append(filled, metrics);
  note_write(written);
  if (written) store_metrics_.wrote(samples, std::chrono::steady_clock::now() - began);
  return written;
}

Result<void> Store::append(std::span<const BatchToWrite> batches,
                           const std::vector<std::vector<std::uint32_t>>& metrics) {
  const std::shared_lock<WriteGate> inside(gate_);
  const std::int64_t stored_at = unix_milliseconds(clock_.now());
  const auto journalled = journal_->append(batches, stored_at);
  if (!journalled) return journalled;
  const auto head = version().active;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    head->insert(*batches[i].batch, metrics[i], stored_at);
  }
  return {};
}

Result<std::unique_ptr<SampleCursor>> Store::query(const SampleQuery& query) {
  return make_sample_cursor(read_context(), query, damage_report());
}

std::unique_ptr<SampleCursor> Store::query_at_once(const SampleQuery& query) {
  ReadContext context = read_context();
  if (!is_read_from_memory(context, query, kShortAnswer)) return nullptr;
  return make_sample_cursor(std::move(context), query, damage_report());
}

Result<std::vector<GpuBuckets>> Store::aggregate(const AggregateQuery& query) {
  return aggregate_series(read_context(), query, damage_report());
}

Result<std::vector<GroupSeries>> Store::aggregate_groups(const GroupQuery& query) {
  return group_series(read_context(), query, damage_report());
}

Result<LatestTable> Store::latest_values(const LatestQuery& query) {
  return fleet_values(read_context(), query, damage_report());
}

Result<std::vector<Milliseconds>> Store::scrape_intervals(std::span<const GpuUuid> gpus) {
  return fleet_intervals(read_context(), gpus, damage_report());
}

Result<std::vector<LatestSample>> Store::latest(const GpuUuid& gpu) {
  return latest_samples(read_context(), gpu, damage_report());
}

Result<std::vector<MetricPresence>> Store::metrics_of(const GpuUuid& gpu) {
  return metric_presence(read_context(), gpu, damage_report());
}

Result<std::vector<std::string>> Store::metric_names() { return metrics_.all(); }

Result<void> Store::check_health() {
  const std::lock_guard lock(version_mutex_);
  if (write_failure_) return write_failure_->at("last write");
  if (seal_failure_) return seal_failure_->at("sealing");
  return {};
}

Result<void> Store::observe(std::span<const GpuObservation> observations) {
  return registry_->observe(observations);
}

Result<GpuPage> Store::list(const GpuFilter& filter, std::optional<GpuUuid> after,
                            std::uint64_t limit) {
  return registry_->list(filter, after, limit);
}

Result<GpuRecord> Store::find(const GpuUuid& uuid) { return registry_->find(uuid); }

Result<std::vector<AttributionInterval>> Store::attribution(const GpuUuid& uuid, Timestamp start,
                                                            Timestamp end) {
  return registry_->attribution(uuid, start, end);
}

Result<std::vector<std::vector<AttributionInterval>>> Store::attribution_in_force(
    std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) {
  return registry_->attribution_in_force(uuids, start, end);
}

StoreStatistics Store::statistics() {
  const Version now = version();
  StoreStatistics statistics;
  statistics.files = now.files->files().size();
  statistics.file_bytes = now.files->bytes();
  statistics.file_samples = now.files->samples();
  for (const auto& head : {now.frozen, now.active}) {
    if (!head) continue;
    statistics.head_samples += head->samples();
    statistics.head_bytes += head->bytes();
  }
  statistics.journal_bytes = journal_->bytes_on_disk();
  return statistics;
}

Result<std::unique_ptr<EmbeddedStore>> EmbeddedStore::open(EmbeddedStoreOptions options,
                                                           OpenReport* report) {
  OpenReport unread;
  auto store = Store::open(std::move(options), report != nullptr ? *report : unread);
  if (!store) return store.error();
  return std::unique_ptr<EmbeddedStore>(std::move(*store));
}

}  // namespace gpu_telemetry::storage::embedded
