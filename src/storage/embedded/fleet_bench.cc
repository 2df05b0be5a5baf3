// Questions about many GPUs at once: one average over a fleet by host, and its newest values.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "domain/clock.h"
#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::uint32_t kFleet = 247;
constexpr std::uint32_t kGpusOfAHost = 8;
constexpr std::int64_t kScrapes = 720;  // two hours, each ten seconds

// Which scrape is stored at which place.
using Order = std::int64_t (*)(std::int64_t place);
std::int64_t in_order(std::int64_t place) { return place; }
std::int64_t last_of_four_first(std::int64_t place) { return place / 4 * 4 + (place + 3) % 4; }
std::int64_t sixteen_backwards(std::int64_t place) { return place / 16 * 16 + 15 - place % 16; }

// Ten metrics of each GPU, the newest scrape at `end()`.
class Fleet {
 public:
  Fleet(std::uint32_t gpus, std::int64_t scrapes, bool sealed, Order order = in_order)
      : gpus_(gpus) {
    EmbeddedStoreOptions options;
    options.path = folder_.path() + "/store";
    options.codec = &plain_codec();
    options.background = false;
    options.head_size = 512_MiB;
    auto opened = EmbeddedStore::open(options);
    if (!opened) std::abort();
    store_ = std::move(*opened);
    for (std::int64_t place = 0; place < scrapes; ++place) {
      const std::int64_t i = order(place);
      BatchBuilder builder;
      for (std::uint32_t n = 0; n < gpus; ++n) {
        std::vector<std::pair<std::string, double>> readings;
        for (int m = 0; m < 10; ++m) {
          readings.emplace_back("metric_" + std::to_string(m),
                                static_cast<double>((i * 7 + n * 13 + m * 131) % 100));
        }
        builder.scrape(numbered_gpu(n), end_ - std::chrono::seconds{10 * (scrapes - 1 - i)},
                       readings);
      }
      const BatchToWrite to_write{&builder.batch(), {}};
      if (!store_->write({&to_write, 1})) std::abort();
    }
    if (sealed && (!store_->seal() || !store_->maintain())) std::abort();
  }
  EmbeddedStore& store() { return *store_; }
  Timestamp end() const { return end_; }
  std::uint32_t gpus() const { return gpus_; }

 private:
  TemporaryFolder folder_;
  std::uint32_t gpus_;
  Timestamp end_ = std::chrono::floor<std::chrono::hours>(system_clock().now());
  std::unique_ptr<EmbeddedStore> store_;
};

GroupQuery hour_by_host(const Fleet& fleet) {
  GroupQuery query;
  query.metric = "metric_3";
  for (std::uint32_t n = 0; n < fleet.gpus(); ++n) {
    query.members.push_back({numbered_gpu(n), n / kGpusOfAHost});
  }
  query.start = fleet.end() - std::chrono::hours{1};
  query.end = fleet.end();
  query.step = Milliseconds{60'000};
  return query;
}

void measure_hour_by_host(benchmark::State& state, bool sealed, Order order = in_order) {
  Fleet fleet(kFleet, kScrapes, sealed, order);
  const GroupQuery query = hour_by_host(fleet);
  for (auto _ : state) {
    const auto series = fleet.store().aggregate_groups(query);
    if (!series || series->size() != (kFleet + kGpusOfAHost - 1) / kGpusOfAHost) std::abort();
    benchmark::DoNotOptimize(series->front().values.data());
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_HourByHostFromFiles(benchmark::State& state) { measure_hour_by_host(state, true); }
BENCHMARK(BM_HourByHostFromFiles);

void BM_HourByHostFromMemory(benchmark::State& state) { measure_hour_by_host(state, false); }
BENCHMARK(BM_HourByHostFromMemory);

// Scrapes that several writers stored at once, so that each second or third comes late.
void BM_HourByHostFromMemoryOutOfOrder(benchmark::State& state) {
  measure_hour_by_host(state, false, last_of_four_first);
}
BENCHMARK(BM_HourByHostFromMemoryOutOfOrder);

// What many at once have caught up with: most comes later than several that are newer.
void BM_HourByHostFromMemoryJumbled(benchmark::State& state) {
  measure_hour_by_host(state, false, sixteen_backwards);
}
BENCHMARK(BM_HourByHostFromMemoryJumbled);

void BM_NewestValuesOf10000Gpus(benchmark::State& state) {
  Fleet fleet(10'000, 20, false);
  LatestQuery query;
  query.metrics = {"metric_0", "metric_4"};
  for (std::uint32_t n = 0; n < fleet.gpus(); ++n) {
    query.gpus.push_back({numbered_gpu(n), fleet.end() - std::chrono::minutes{2}});
  }
  for (auto _ : state) {
    const auto table = fleet.store().latest_values(query);
    if (!table) std::abort();
    benchmark::DoNotOptimize(table->values.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_NewestValuesOf10000Gpus)->Unit(benchmark::kMillisecond);

void BM_ScrapeIntervalsOf10000Gpus(benchmark::State& state) {
  Fleet fleet(10'000, 20, false);
  std::vector<GpuUuid> gpus;
  for (std::uint32_t n = 0; n < fleet.gpus(); ++n) gpus.push_back(numbered_gpu(n));
  for (auto _ : state) {
    const auto intervals = fleet.store().scrape_intervals(gpus);
    if (!intervals) std::abort();
    benchmark::DoNotOptimize(intervals->data());
  }
}
BENCHMARK(BM_ScrapeIntervalsOf10000Gpus)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
