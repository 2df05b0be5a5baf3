// A fleet as a DCGM capture shows it: 247 GPUs, 10 metrics, 425 passes of 10 s whose timestamps lie
// 0 to 3 s into the pass. Prints bytes a sample beside the rates.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "storage/embedded/series_file_test_data.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::size_t kGpus = 247;
constexpr std::size_t kPasses = 425;
constexpr std::int64_t kHour = 3'600'000;

enum Metric { kDec, kEnc, kFree, kUsed, kTemp, kUtil, kMemClock, kCopyUtil, kPower, kSmClock };

// Whole watts to three digits, as a noisy sensor gives them.
double milliwatts(double watts) { return std::nearbyint(watts * 1000) / 1000; }

double value_of(Metric metric, bool busy, std::mt19937_64& random, double& state) {
  std::normal_distribution<double> noise(0, 1);
  const bool rarely = random() % 200 == 0;
  switch (metric) {
    case kDec:
    case kEnc:
      return 0;
    case kMemClock:
      return 2619;
    case kFree:
    case kUsed:
      if (busy && rarely) state += std::nearbyint(noise(random) * 200);
      return 20'000 + state;
    case kTemp:
      if (random() % 6 == 0) state += random() % 2 == 0 ? 1 : -1;
      state = std::clamp(state, -4.0, 4.0);
      return (busy ? 62 : 31) + state;
    case kUtil:
      return busy ? std::clamp(std::nearbyint(92 + 6 * noise(random)), 0.0, 100.0) : 0;
    case kCopyUtil:
      return busy ? std::clamp(std::nearbyint(40 + 8 * noise(random)), 0.0, 100.0) : 0;
    case kPower:
      return milliwatts(busy ? 420 + 15 * noise(random) : 72 + 0.6 * noise(random));
    case kSmClock:
      return busy ? 1980 - 15 * static_cast<double>(rarely ? 1 + random() % 10 : 0) : 345;
  }
  return 0;
}

// How the timestamps of a pass differ: by metric only, as one exporter round stamps them, or also
// between GPUs.
enum class Times { kShared, kPerGpu };

TestFile fleet(Times times, std::size_t passes) {
  std::mt19937_64 random(1);
  TestFile content;
  content.metrics = {"DCGM_FI_DEV_DEC_UTIL",    "DCGM_FI_DEV_ENC_UTIL",
                     "DCGM_FI_DEV_FB_FREE",     "DCGM_FI_DEV_FB_USED",
                     "DCGM_FI_DEV_GPU_TEMP",    "DCGM_FI_DEV_GPU_UTIL",
                     "DCGM_FI_DEV_MEM_CLOCK",   "DCGM_FI_DEV_MEM_COPY_UTIL",
                     "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_SM_CLOCK"};
  std::vector<std::vector<std::int64_t>> vectors(4, std::vector<std::int64_t>(passes));
  const auto stamp = [&] {
    for (std::size_t pass = 0; pass < passes; ++pass) {
      for (auto& vector : vectors) {
        vector[pass] = kTestStart + static_cast<std::int64_t>(pass) * 10'000 +
                       static_cast<std::int64_t>(random() % 4) * 1000;
      }
    }
  };
  stamp();
  for (std::size_t gpu = 0; gpu < kGpus; ++gpu) {
    if (times == Times::kPerGpu) stamp();
    const bool busy = random() % 100 < 60;
    std::vector<TestColumn> columns;
    for (std::uint32_t metric = 0; metric < 10; ++metric) {
      TestColumn column{metric, vectors[metric % 4], std::vector<double>(passes)};
      double state = 0;
      for (double& value : column.values) value = value_of(Metric(metric), busy, random, state);
      columns.push_back(std::move(column));
    }
    content.gpus[test_gpu(gpu)] = std::move(columns);
  }
  return content;
}

// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "series_file_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct Stored {
  Folder folder;
  TestFile content;
  SeriesFileSummary summary;
  std::shared_ptr<const SeriesFileReader> reader;

  Stored(Times times, std::size_t passes) : content(fleet(times, passes)) {
    summary = write_test_file(io::posix_file_system(), folder.file("fleet"), content).value();
    reader = SeriesFileReader::open(io::posix_file_system(), folder.file("fleet")).value();
  }
};

const Stored& stored(Times times) {
  static const Stored shared(Times::kShared, kPasses);
  static const Stored per_gpu(Times::kPerGpu, kPasses);
  return times == Times::kShared ? shared : per_gpu;
}

void BM_Write(benchmark::State& state) {
  const auto passes = static_cast<std::size_t>(state.range(1));
  const Stored written(Times(state.range(0)), passes);
  std::vector<std::vector<SeriesColumn>> views;
  for (const auto& [gpu, columns] : written.content.gpus) {
    views.emplace_back();
    for (const TestColumn& c : columns) views.back().push_back({c.metric, c.timestamps, c.values});
  }
  SeriesFileSummary summary;
  for (auto _ : state) {
    auto writer = SeriesFileWriter::create(io::posix_file_system(), written.folder.file("again"),
                                           written.content.metrics, {})
                      .value();
    auto view = views.begin();
    for (const auto& [gpu, columns] : written.content.gpus) {
      if (!writer->add_gpu(gpu, *view++)) state.SkipWithError("add_gpu");
    }
    summary = writer->finish().value();
    state.PauseTiming();
    std::filesystem::remove(written.folder.file("again"));
    state.ResumeTiming();
  }
  state.counters["bytes_a_sample"] =
      static_cast<double>(summary.file_bytes) / static_cast<double>(summary.samples);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(summary.samples));
}
BENCHMARK(BM_Write)
    ->ArgNames({"times_per_gpu", "passes"})
    ->Args({0, 425})
    ->Args({1, 425})
    ->Args({0, 720})
    ->Args({0, 100})
    ->Args({0, 10})
    ->Args({1, 10});

void BM_Open(benchmark::State& state) {
  const Stored& file = stored(Times::kShared);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        SeriesFileReader::open(io::posix_file_system(), file.folder.file("fleet")));
  }
}
BENCHMARK(BM_Open);

void BM_ReadEverything(benchmark::State& state) {
  const Stored& file = stored(Times(state.range(0)));
  std::vector<std::int64_t> timestamps;
  std::vector<double> values;
  for (auto _ : state) {
    for (const GpuUuid& gpu : file.reader->gpus()) {
      for (const ColumnEntry& entry : file.reader->columns(gpu)) {
        timestamps.clear();
        values.clear();
        (void)file.reader->read(entry, kTestStart, kTestStart + 2 * kHour, timestamps, values);
        benchmark::DoNotOptimize(values.data());
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(file.summary.samples));
}
BENCHMARK(BM_ReadEverything)->ArgName("times_per_gpu")->Arg(0)->Arg(1);

// One average of one metric over all GPUs, an hour in buckets of 60 s.
void BM_FleetAggregate(benchmark::State& state) {
  const Stored& file = stored(Times(state.range(0)));
  const auto metric = static_cast<std::uint32_t>(state.range(1));
  std::vector<Bucket> buckets;
  std::vector<double> sums;
  std::vector<std::uint64_t> counts;
  for (auto _ : state) {
    sums.assign(62, 0);
    counts.assign(62, 0);
    for (const GpuUuid& gpu : file.reader->gpus()) {
      const auto entry = file.reader->find_column(gpu, metric);
      buckets.clear();
      (void)file.reader->aggregate(*entry, kTestStart, kTestStart + kHour - 1, 60'000, buckets);
      for (const Bucket& bucket : buckets) {
        const auto i =
            static_cast<std::size_t>((unix_milliseconds(bucket.start) - kTestStart) / 60'000 + 1);
        sums[i] += bucket.sum;
        counts[i] += bucket.count;
      }
    }
    benchmark::DoNotOptimize(sums.data());
    benchmark::DoNotOptimize(counts.data());
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["samples_a_second"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * kGpus * 360, benchmark::Counter::kIsRate);
}
BENCHMARK(BM_FleetAggregate)
    ->ArgNames({"times_per_gpu", "metric"})
    ->Args({0, kPower})
    ->Args({0, kUtil})
    ->Args({0, kSmClock})
    ->Args({0, kMemClock})
    ->Args({1, kPower});

// What no store can beat: the same values lie in memory as doubles, sorted, their buckets known.
void BM_PlainArrays(benchmark::State& state) {
  const Stored& file = stored(Times::kShared);
  std::vector<double> sums;
  for (auto _ : state) {
    sums.assign(62, 0);
    for (const auto& [gpu, columns] : file.content.gpus) {
      const double* values = columns[kPower].values.data();
      for (std::size_t bucket = 0; bucket < 60; ++bucket) {
        double sum = 0;
        for (std::size_t i = 0; i < 6; ++i) sum += values[bucket * 6 + i];
        sums[bucket] += sum;
      }
    }
    benchmark::DoNotOptimize(sums.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_PlainArrays);

// Memory bandwidth: a sum over an array of doubles larger than the caches.
void BM_PlainScan(benchmark::State& state) {
  const std::vector<double> values(8 << 20, 1.5);
  for (auto _ : state) {
    double lanes[8] = {};
    for (std::size_t i = 0; i < values.size(); i += 8) {
      for (std::size_t k = 0; k < 8; ++k) lanes[k] += values[i + k];
    }
    benchmark::DoNotOptimize(lanes);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(values.size()));
}
BENCHMARK(BM_PlainScan);

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
