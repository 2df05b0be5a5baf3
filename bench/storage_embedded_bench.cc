// What the store does in a second. Data are made up in the shape of a real exporter's: 247 GPUs, 10
// metrics, a pass each 10 s. The journal is on the disk of TMPDIR.
#include <benchmark/benchmark.h>

#include <cmath>
#include <fstream>
#include <random>

#include "storage/embedded/store_fixture.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::uint32_t kGpus = 247;
constexpr std::int64_t kPasses = 425;
constexpr std::int64_t kStart = SimulatedStore::kStart;

// One pass over the fleet: slow counters, steady clocks, noisy power and utilisation.
TelemetryBatch pass(std::int64_t n) {
  std::mt19937 random(static_cast<std::uint32_t>(n));
  const auto noise = [&](int width) {
    return static_cast<double>(static_cast<int>(random() % static_cast<unsigned>(width)));
  };
  TelemetryBatch batch;
  batch.metrics = {"DCGM_FI_DEV_SM_CLOCK",     "DCGM_FI_DEV_MEM_CLOCK",   "DCGM_FI_DEV_GPU_TEMP",
                   "DCGM_FI_DEV_MEMORY_TEMP",  "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_GPU_UTIL",
                   "DCGM_FI_DEV_FB_USED",      "DCGM_FI_DEV_FB_FREE",     "DCGM_FI_DEV_ENC_UTIL",
                   "DCGM_FI_DEV_MEM_COPY_UTIL"};
  for (std::uint32_t g = 0; g < kGpus; ++g) {
    auto gpu = std::make_shared<Gpu>();
    gpu->uuid = numbered_gpu(g);
    batch.gpus.push_back(std::move(gpu));
    const bool busy = g % 3 == 0;
    const double used = busy ? 70'000 + std::floor(static_cast<double>(n) / 50) * 16 : 4;
    const double values[] = {busy ? 1980.0 - noise(3) * 15 : 345.0,
                             2619,
                             busy ? 60 + noise(4) : 29,
                             busy ? 70 + noise(3) : 31,
                             (busy ? 650'000 + noise(40'000) : 70'000 + noise(1200)) / 1000,
                             busy ? 97 + noise(4) : 0,
                             used,
                             81'078 - used,
                             0,
                             busy ? 40 + noise(8) : 0};
    batch.scrapes.push_back({g, static_cast<std::uint32_t>(batch.samples.size()), 10,
                             from_unix_milliseconds(kStart + n * 10'000 + g % 4)});
    for (std::uint32_t m = 0; m < 10; ++m) batch.samples.push_back({m, values[m]});
  }
  return batch;
}

struct EncodedPass {
  TelemetryBatch batch;
  std::string encoded;
};

const std::vector<EncodedPass>& passes() {
  static const std::vector<EncodedPass> all = [] {
    std::vector<EncodedPass> made;
    for (std::int64_t n = 0; n < kPasses; ++n) {
      EncodedPass one{pass(n), {}};
      wire::batch_codec().encode(one.batch, one.encoded);
      made.push_back(std::move(one));
    }
    return made;
  }();
  return all;
}

EmbeddedStoreOptions options_in(const TemporaryFolder& folder) {
  EmbeddedStoreOptions options;
  options.path = folder.path() + "/store";
  options.codec = &wire::batch_codec();
  options.retention = std::chrono::milliseconds{0};
  return options;
}

std::unique_ptr<EmbeddedStore> open(const EmbeddedStoreOptions& options,
                                    OpenReport* report = nullptr) {
  auto opened = EmbeddedStore::open(options, report);
  if (!opened) throw std::runtime_error(opened.error().message);
  return std::move(*opened);
}

void write_passes(EmbeddedStore& store, std::int64_t per_write) {
  std::vector<BatchToWrite> batches;
  for (std::int64_t n = 0; n < kPasses; ++n) {
    const EncodedPass& one = passes()[static_cast<std::size_t>(n)];
    batches.push_back({&one.batch, one.encoded});
    if (static_cast<std::int64_t>(batches.size()) < per_write && n + 1 < kPasses) continue;
    const auto written = store.write(batches);
    if (!written) throw std::runtime_error(written.error().message);
    batches.clear();
  }
}

void BM_Ingest(benchmark::State& state) {
  (void)passes();
  for (auto _ : state) {
    state.PauseTiming();
    auto folder = std::make_unique<TemporaryFolder>();
    auto store = open(options_in(*folder));
    state.ResumeTiming();
    write_passes(*store, state.range(0));
    state.PauseTiming();
    store.reset();
    folder.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kPasses * kGpus * 10);
}
// Passes of 2,470 samples that share one write.
BENCHMARK(BM_Ingest)->Arg(1)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();

// A store whose samples are all in files.
EmbeddedStore& sealed_store() {
  static TemporaryFolder folder;
  static const auto store = [] {
    auto made = open(options_in(folder));
    write_passes(*made, 16);
    if (!made->seal() || !made->maintain()) throw std::runtime_error("sealing failed");
    return made;
  }();
  return *store;
}

void BM_Seal(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    auto folder = std::make_unique<TemporaryFolder>();
    auto store = open(options_in(*folder));
    write_passes(*store, 16);
    state.ResumeTiming();
    if (!store->seal()) state.SkipWithError("sealing failed");
    state.PauseTiming();
    const StoreStatistics statistics = store->statistics();
    state.counters["bytes_per_sample"] =
        static_cast<double>(statistics.file_bytes) / static_cast<double>(statistics.file_samples);
    store.reset();
    folder.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kPasses * kGpus * 10);
}
BENCHMARK(BM_Seal)->Unit(benchmark::kMillisecond)->UseRealTime();

// One GPU, one hour, ten metrics: 3,600 points.
void BM_RangeQuery(benchmark::State& state) {
  EmbeddedStore& store = sealed_store();
  SampleQuery query;
  query.start = from_unix_milliseconds(kStart + 100'000);
  query.end = query.start + std::chrono::hours{1} - Milliseconds{1};
  std::uint32_t gpu = 0;
  std::uint64_t points = 0;
  for (auto _ : state) {
    query.gpu = numbered_gpu(gpu++ % kGpus);
    auto cursor = store.query(query);
    while (true) {
      const auto block = (*cursor)->next();
      if (!block || block->empty()) break;
      points += block->size();
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(points));
}
BENCHMARK(BM_RangeQuery);

// The average of one metric over the fleet, one hour at 60 s.
void BM_FleetAggregate(benchmark::State& state) {
  EmbeddedStore& store = sealed_store();
  AggregateQuery query;
  query.metric = "DCGM_FI_DEV_POWER_USAGE";
  for (std::uint32_t g = 0; g < kGpus; ++g) query.gpus.push_back(numbered_gpu(g));
  query.start = from_unix_milliseconds(kStart + 100'000);
  query.end = query.start + std::chrono::hours{1} - Milliseconds{1};
  for (auto _ : state) benchmark::DoNotOptimize(store.aggregate(query));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FleetAggregate);

void BM_Latest(benchmark::State& state) {
  EmbeddedStore& store = sealed_store();
  std::uint32_t gpu = 0;
  for (auto _ : state) benchmark::DoNotOptimize(store.latest(numbered_gpu(gpu++ % kGpus)));
}
BENCHMARK(BM_Latest);

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// 200,000 series, 20 passes: heads fill, are sealed and merged meanwhile. Memory is that of the
// whole process, one decoded batch included. Run it alone (--benchmark_filter=WideFleet).
void BM_WideFleet(benchmark::State& state) {
  constexpr std::uint32_t kWide = 20'000;
  TelemetryBatch batch = pass(0);
  batch.gpus.clear();
  batch.scrapes.clear();
  std::vector<Sample> few = std::move(batch.samples);
  batch.samples.clear();
  for (std::uint32_t g = 0; g < kWide; ++g) {
    auto gpu = std::make_shared<Gpu>();
    gpu->uuid = numbered_gpu(g);
    batch.gpus.push_back(std::move(gpu));
    batch.scrapes.push_back({g, g * 10, 10, {}});
    const auto from = few.begin() + static_cast<std::ptrdiff_t>(g % kGpus * 10);
    batch.samples.insert(batch.samples.end(), from, from + 10);
  }
  double largest = 0;
  for (auto _ : state) {
    TemporaryFolder folder;
    auto store = open(options_in(folder));
    for (std::int64_t n = 0; n < 20; ++n) {
      for (Scrape& scrape : batch.scrapes) {
        scrape.timestamp = from_unix_milliseconds(kStart + n * 10'000);
        batch.samples[scrape.first_sample].value += static_cast<double>(n);
      }
      const BatchToWrite to_write{&batch, {}};
      const auto written = store->write({&to_write, 1});
      if (!written) throw std::runtime_error(written.error().message);
      largest = std::max(largest, resident_bytes());
    }
    const StoreStatistics statistics = store->statistics();
    state.counters["files"] = static_cast<double>(statistics.files);
  }
  state.counters["resident_MB"] = largest / 1e6;
  state.SetItemsProcessed(state.iterations() * 20 * kWide * 10);
}
BENCHMARK(BM_WideFleet)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

// After a crash: everything is in the journal still.
void BM_OpenWithFullJournal(benchmark::State& state) {
  TemporaryFolder folder;
  {
    const auto store = open(options_in(folder));
    write_passes(*store, 16);
  }
  std::uint64_t batches = 0;
  for (auto _ : state) {
    OpenReport report;
    auto store = open(options_in(folder), &report);
    batches = report.journal_batches;
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
  state.counters["batches"] = static_cast<double>(batches);
}
BENCHMARK(BM_OpenWithFullJournal)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
