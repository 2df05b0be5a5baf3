// The embedded store itself: what embedded_store.h promises, joined from its parts.
//
// Locks, in the order in which they may be taken:
//   roll_mutex_     one exchange of the head at a time
//   gate_           shared by writers, exclusive for the exchange
//   seal_mutex_     one sealing at a time; merge_mutex_: one round of maintenance at a time
//   publish_mutex_  one change of the set of files at a time
//   version_mutex_  the pointers of the present version; never held while anything is read or
//   written
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "storage/embedded/catalogue.h"
#include "storage/embedded/embedded_store.h"
#include "storage/embedded/file_folder.h"
#include "storage/embedded/gpu_registry.h"
#include "storage/embedded/journal.h"
#include "storage/embedded/metric_table.h"
#include "storage/embedded/sample_cursor.h"
#include "storage/embedded/store_metrics.h"
#include "storage/embedded/version.h"
#include "storage/embedded/write_gate.h"

namespace gpu_telemetry::storage::embedded {

class Store final : public EmbeddedStore {
 public:
  static Result<std::unique_ptr<Store>> open(EmbeddedStoreOptions options, OpenReport& report);
  ~Store() override;

  Result<void> write(std::span<const BatchToWrite> batches) override;
  Result<std::unique_ptr<SampleCursor>> query(const SampleQuery& query) override;
  std::unique_ptr<SampleCursor> query_at_once(const SampleQuery& query) override;
  Result<std::vector<GpuBuckets>> aggregate(const AggregateQuery& query) override;
  Result<std::vector<GroupSeries>> aggregate_groups(const GroupQuery& query) override;
  Result<LatestTable> latest_values(const LatestQuery& query) override;
  Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid> gpus) override;
  Result<std::vector<LatestSample>> latest(const GpuUuid& gpu) override;
  Result<std::vector<MetricPresence>> metrics_of(const GpuUuid& gpu) override;
  Result<std::vector<std::string>> metric_names() override;
  Result<void> check_health() override;

  Result<void> observe(std::span<const GpuObservation> observations) override;
  Result<GpuPage> list(const GpuFilter& filter, std::optional<GpuUuid> after,
                       std::uint64_t limit) override;
  Result<GpuRecord> find(const GpuUuid& uuid) override;
  bool finds_at_once() const override { return true; }
  Result<std::vector<AttributionInterval>> attribution(const GpuUuid& uuid, Timestamp start,
                                                       Timestamp end) override;
  Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force(
      std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) override;

  Result<void> seal() override;
  Result<void> maintain() override;
  StoreStatistics statistics() override;

 private:
  explicit Store(EmbeddedStoreOptions options);

  // recovery.cc
  Result<void> recover(OpenReport& report);
  Result<bool> open_catalogue(OpenReport& report);
  Result<void> open_files(bool rebuild, OpenReport& report);
  Result<void> open_journal(OpenReport& report);
  Result<void> rebuild_gpus();

  // store.cc
  Version version() const;
  ReadContext read_context() const;
  std::int64_t cutoff() const;
  DamageReport damage_report();
  void note_damage(const StoredFile& file, const Error& error);
  std::uint64_t head_limit() const { return options_.head_size.bytes; }
  Result<void> append(std::span<const BatchToWrite> batches,
                      const std::vector<std::vector<std::uint32_t>>& metrics);
  void note_write(const Result<void>& written);

  // maintenance.cc
  Result<void> make_room();
  Result<void> await_sealing();
  Result<void> freeze();
  Result<void> seal_frozen(std::stop_token stop);
  Result<void> expire();
  Result<void> merge(std::stop_token stop);
  void scrub(std::stop_token stop);
  Result<void> prune_attribution();
  Result<void> maintain(std::stop_token stop);
  struct Publication;
  Result<void> publish(Publication publication);
  void start_threads();
  void run_sealer(const std::stop_token& stop);
  void run_maintainer(const std::stop_token& stop);

  const EmbeddedStoreOptions options_;
  io::FileSystem& files_;
  const Clock& clock_;
  MetricTable metrics_;
  std::unique_ptr<io::FileLock> lock_;
  FileFolder folder_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<GpuRegistry> registry_;
  std::unique_ptr<Journal> journal_;
  std::atomic<std::uint64_t> next_sequence_{1};

  std::mutex roll_mutex_;
  WriteGate gate_;
  std::mutex seal_mutex_;
  std::mutex merge_mutex_;
  std::mutex publish_mutex_;
  mutable std::mutex version_mutex_;
  std::condition_variable_any version_changed_;
  Version version_;
  std::uint64_t frozen_floor_ = 0;  // first journal segment behind the frozen head
  // Of the files of the frozen head: one number however often it is tried, so that what a failed
  // attempt left is overwritten, and a commit of which nobody knows whether it happened names files
  // that are there.
  std::uint64_t frozen_sequence_ = 0;
  std::optional<Error> seal_failure_;   // of the last attempt; cleared by success
  std::optional<Error> write_failure_;  // the same of writes

  // Of the maintenance thread, under merge_mutex_: when each file was last verified.
  std::map<std::string, SteadyTime> verified_;
  std::optional<SteadyTime> attribution_pruned_;

  StoreMetrics store_metrics_;
  // Last, so that they end before anything that they use.
  std::jthread sealer_;
  std::jthread maintainer_;
};

}  // namespace gpu_telemetry::storage::embedded
