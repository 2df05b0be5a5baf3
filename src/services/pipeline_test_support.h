// What the tests of the services share: a context that runs, and a storage that can refuse.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "observability/metrics.h"
#include "queue/memory/memory_queue.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services::testing {

// One thread that runs a context, as in a real process.
class RunningContext {
 public:
  ~RunningContext() { stop(); }
  // Runs nothing any more.
  void stop() {
    work_.reset();
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  boost::asio::any_io_executor executor() { return context_.get_executor(); }

  // Runs a coroutine on it and returns what that returned.
  template <class T>
  T await(boost::asio::awaitable<T> coroutine) {
    return boost::asio::co_spawn(context_, std::move(coroutine), boost::asio::use_future).get();
  }

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      boost::asio::make_work_guard(context_)};
  std::thread thread_{[this] { context_.run(); }};
};

// Keeps samples in a map. Refuses with `refusal` as long as there is one.
class MapStorage : public storage::TelemetryRepository, public storage::GpuRepository {
 public:
  using Key = std::tuple<GpuUuid, Timestamp, std::string>;

  Result<void> write(std::span<const storage::BatchToWrite> batches) override {
    std::unique_lock lock(mutex_);
    ++writes_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    if (refusal_) return *refusal_;
    for (const storage::BatchToWrite& each : batches) {
      const TelemetryBatch& batch = *each.batch;
      for (const Scrape& scrape : batch.scrapes) {
        if (scrape.timestamp == refused_) return invalid("a scrape that cannot be stored");
        for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
          const Sample& sample = batch.samples[scrape.first_sample + i];
          const Key key{batch.gpus[scrape.gpu]->uuid, scrape.timestamp,
                        batch.metrics[sample.metric]};
          samples_[key] = sample.value;
        }
      }
    }
    changed_.notify_all();
    return {};
  }
  Result<void> observe(std::span<const storage::GpuObservation> observations) override {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    for (const auto& each : observations) gpus_[each.gpu->uuid] = each.to;
    return {};
  }

  Result<std::unique_ptr<storage::SampleCursor>> query(const storage::SampleQuery&) override {
    return unused();
  }
  Result<std::vector<storage::GpuBuckets>> aggregate(const storage::AggregateQuery&) override {
    return unused();
  }
  Result<std::vector<storage::GroupSeries>> aggregate_groups(const storage::GroupQuery&) override {
    return unused();
  }
  Result<storage::LatestTable> latest_values(const storage::LatestQuery&) override {
    return unused();
  }
  Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid> gpus) override {
    return std::vector<Milliseconds>(gpus.size());
  }
  Result<std::vector<storage::LatestSample>> latest(const GpuUuid&) override { return unused(); }
  Result<std::vector<storage::MetricPresence>> metrics_of(const GpuUuid&) override {
    return unused();
  }
  Result<std::vector<std::string>> metric_names() override {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    std::set<std::string> names;
    for (const auto& [key, value] : samples_) names.insert(std::get<std::string>(key));
    return std::vector<std::string>(names.begin(), names.end());
  }
  Result<void> check_health() override { return {}; }
  Result<storage::GpuPage> list(const storage::GpuFilter&, std::optional<GpuUuid> after,
                                std::uint64_t limit) override {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    storage::GpuPage page;
    page.total = gpus_.size();
    auto next = after ? gpus_.upper_bound(*after) : gpus_.begin();
    for (; next != gpus_.end() && (limit == 0 || page.gpus.size() < limit); ++next) {
      page.gpus.emplace_back().gpu.uuid = next->first;
    }
    return page;
  }
  Result<GpuRecord> find(const GpuUuid& uuid) override {
    const std::lock_guard lock(mutex_);
    if (refusal_) return *refusal_;
    if (!gpus_.contains(uuid)) return not_found("no such GPU");
    GpuRecord record;
    record.gpu.uuid = uuid;
    return record;
  }
  Result<std::vector<AttributionInterval>> attribution(const GpuUuid&, Timestamp,
                                                       Timestamp) override {
    return unused();
  }
  Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force(
      std::span<const GpuUuid>, Timestamp, Timestamp) override {
    return unused();
  }

  void refuse(std::optional<Error> refusal) {
    const std::lock_guard lock(mutex_);
    refusal_ = std::move(refusal);
  }
  // A write with a scrape of this time is kInvalid.
  void refuse_scrapes_at(Timestamp time) {
    const std::lock_guard lock(mutex_);
    refused_ = time;
  }
  // Writes wait until they are let go.
  void hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  void wait_for_writes(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return writes_ >= count; });
  }
  void wait_for_samples(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return samples_.size() >= count; });
  }
  std::map<Key, double> samples() const {
    const std::lock_guard lock(mutex_);
    return samples_;
  }
  std::map<GpuUuid, Timestamp> gpus() const {
    const std::lock_guard lock(mutex_);
    return gpus_;
  }

 private:
  static Error unused() { return internal("not part of these tests"); }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, double> samples_;
  std::map<GpuUuid, Timestamp> gpus_;
  std::optional<Error> refusal_;
  std::optional<Timestamp> refused_;
  bool held_ = false;
  std::uint64_t writes_ = 0;
};

// Scrape `number` of one GPU, with one sample whose value is the number.
inline TelemetryBatch numbered_batch(std::int64_t number) {
  static const GpuPointer gpu = [] {
    auto made = std::make_shared<Gpu>();
    made->uuid = GpuUuid(GpuUuid::Kind::kGpu, {1});
    made->hostname = "node-001";
    return made;
  }();
  TelemetryBatch batch;
  batch.gpus = {gpu};
  batch.metrics = {"DCGM_FI_DEV_GPU_TEMP"};
  batch.samples = {{0, static_cast<double>(number)}};
  batch.scrapes = {{0, 0, 1, kEarliestTimestamp + Milliseconds{number}}};
  return batch;
}

inline queue::GroupStatistics collectors_group(const std::vector<queue::TopicStatistics>& topics) {
  for (const queue::TopicStatistics& topic : topics) {
    for (const queue::GroupStatistics& group : topic.groups) {
      if (group.group == "collectors") return group;
    }
  }
  return {};
}

}  // namespace gpu_telemetry::services::testing
