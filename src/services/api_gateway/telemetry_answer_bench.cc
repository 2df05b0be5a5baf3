// Samples to JSON, the last step of every answer, beside copying the bytes of that answer once.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "services/api_gateway/telemetry_answer.h"

namespace gpu_telemetry::services {
namespace {

using storage::StoredSample;

const std::vector<std::string>& names() {
  static const std::vector<std::string> all = {
      "DCGM_FI_DEV_DEC_UTIL",  "DCGM_FI_DEV_ENC_UTIL",      "DCGM_FI_DEV_FB_FREE",
      "DCGM_FI_DEV_FB_USED",   "DCGM_FI_DEV_GPU_TEMP",      "DCGM_FI_DEV_GPU_UTIL",
      "DCGM_FI_DEV_MEM_CLOCK", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_POWER_USAGE",
      "DCGM_FI_DEV_SM_CLOCK"};
  return all;
}

// One hour of one GPU: ten metrics every ten seconds, power with three decimals.
const std::vector<StoredSample>& one_hour() {
  static const std::vector<StoredSample> samples = [] {
    std::vector<StoredSample> made;
    for (int i = 360; i > 0; --i) {
      const Timestamp time = kEarliestTimestamp + std::chrono::seconds{10 * i};
      for (std::uint32_t metric = 0; metric < names().size(); ++metric) {
        double value = (i * 7 + static_cast<int>(metric) * 131) % 1980;
        if (metric == 8) value += ((i * 37) % 1000) / 1000.0;
        made.push_back({time, metric, value});
      }
    }
    return made;
  }();
  return samples;
}

class HourCursor final : public storage::SampleCursor {
 public:
  Result<std::span<const StoredSample>> next() override {
    if (done_) return std::span<const StoredSample>();
    done_ = true;
    return std::span<const StoredSample>(one_hour());
  }
  std::span<const std::string> metric_names() const override { return names(); }

 private:
  bool done_ = false;
};

class HourRepository final : public storage::TelemetryRepository {
 public:
  Result<std::unique_ptr<storage::SampleCursor>> query(const storage::SampleQuery&) override {
    return std::unique_ptr<storage::SampleCursor>(new HourCursor);
  }
  Result<void> write(std::span<const storage::BatchToWrite>) override { return {}; }
  Result<std::vector<storage::GpuBuckets>> aggregate(const storage::AggregateQuery&) override {
    return std::vector<storage::GpuBuckets>();
  }
  Result<std::vector<storage::GroupSeries>> aggregate_groups(const storage::GroupQuery&) override {
    return std::vector<storage::GroupSeries>();
  }
  Result<std::vector<double>> latest_values(const storage::LatestQuery&) override {
    return std::vector<double>();
  }
  Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid>) override {
    return std::vector<Milliseconds>();
  }
  Result<std::vector<storage::LatestSample>> latest(const GpuUuid&) override {
    return std::vector<storage::LatestSample>();
  }
  Result<std::vector<storage::MetricPresence>> metrics_of(const GpuUuid&) override {
    return std::vector<storage::MetricPresence>();
  }
  Result<void> check_health() override { return {}; }
};

std::string answer() {
  HourRepository repository;
  storage::SampleQuery query;
  query.limit = 10'000;
  auto open = TelemetryAnswer::open(repository, query, 1);
  std::string body;
  if (!(*open)->write(body, SIZE_MAX / 2)) std::abort();
  return body;
}

void BM_JsonOfOneHour(benchmark::State& state) {
  std::size_t bytes = 0;
  for (auto _ : state) {
    const std::string body = answer();
    bytes += body.size();
    benchmark::DoNotOptimize(body.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(one_hour().size()));
}
BENCHMARK(BM_JsonOfOneHour);

void BM_CopyOfTheSameBytes(benchmark::State& state) {
  const std::string body = answer();
  for (auto _ : state) {
    std::string copy(body);
    benchmark::DoNotOptimize(copy.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(BM_CopyOfTheSameBytes);

}  // namespace
}  // namespace gpu_telemetry::services
