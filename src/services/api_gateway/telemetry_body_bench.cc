// Samples to JSON, the last step of every answer, beside copying the bytes of that answer once.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "services/api_gateway/telemetry_body.h"
#include "storage/row_cursor.h"

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

class HourCursor final : public storage::RowCursor {
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

std::string answer(TelemetryShape shape) {
  TelemetrySamples samples;
  samples.cursor = std::make_unique<HourCursor>();
  samples.limit = 10'000;
  const auto open = make_telemetry_body(shape, std::move(samples));
  std::string body;
  if (!open->write(body, SIZE_MAX / 2)) std::abort();
  return body;
}

void measure(benchmark::State& state, TelemetryShape shape) {
  std::size_t bytes = 0;
  for (auto _ : state) {
    const std::string body = answer(shape);
    bytes += body.size();
    benchmark::DoNotOptimize(body.data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(one_hour().size()));
}

void BM_PointsOfOneHour(benchmark::State& state) { measure(state, TelemetryShape::kPoints); }
BENCHMARK(BM_PointsOfOneHour);

void BM_SeriesOfOneHour(benchmark::State& state) { measure(state, TelemetryShape::kSeries); }
BENCHMARK(BM_SeriesOfOneHour);

void BM_CsvOfOneHour(benchmark::State& state) { measure(state, TelemetryShape::kCsv); }
BENCHMARK(BM_CsvOfOneHour);

void BM_CopyOfTheSameBytes(benchmark::State& state) {
  const std::string body = answer(TelemetryShape::kPoints);
  for (auto _ : state) {
    std::string copy(body);
    benchmark::DoNotOptimize(copy.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(BM_CopyOfTheSameBytes);

}  // namespace
}  // namespace gpu_telemetry::services
