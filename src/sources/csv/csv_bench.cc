// How fast CSV becomes batches, beside what the machine can do at all: finding line feeds in the
// same bytes. The text is what an exporter's capture looks like, 247 GPUs and 10 metrics a pass,
// rows of 450 bytes; GPU_TELEMETRY_CAPTURE names a real one to use instead, repeated to the same
// size.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>

#include "sources/csv/csv_scanner.h"
#include "sources/csv/csv_source.h"

namespace {

std::atomic<std::uint64_t> allocations{0};

}  // namespace

// Not inlined: GCC 12 would take the pair for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace gpu_telemetry::sources {
namespace {

using csv::Instructions;

constexpr std::size_t kTextSize = std::size_t{200} << 20;

// One pass, two minutes after the one before.
std::string generated_pass(unsigned number) {
  static constexpr const char* kMetrics[] = {"DCGM_FI_DEV_GPU_UTIL",    "DCGM_FI_DEV_MEM_COPY_UTIL",
                                             "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_GPU_TEMP",
                                             "DCGM_FI_DEV_FB_USED",     "DCGM_FI_DEV_FB_FREE",
                                             "DCGM_FI_DEV_DEC_UTIL",    "DCGM_FI_DEV_ENC_UTIL",
                                             "DCGM_FI_DEV_SM_CLOCK",    "DCGM_FI_DEV_MEM_CLOCK"};
  std::string out;
  unsigned value = 1;
  for (unsigned m = 0; m < 10; ++m) {
    for (unsigned g = 0; g < 247; ++g) {
      value = value * 1664525 + 1013904223;
      const std::string uuid = fmt::format("GPU-{:08x}-86f3-7a43-b711-{:012x}", g * 0x9E3779B9U, g);
      const std::string host = fmt::format("cluster-a-dgx-h100-{:03}", g / 8);
      const std::string reading = m == 2 ? fmt::format("{}.{:03}", 60 + value % 600, value % 1000)
                                         : fmt::format("{}", value % 100);
      out += fmt::format(
          "\"2025-07-{:02}T{:02}:{:02}:{:02}Z\",\"{}\",\"{}\",\"nvidia{}\",\"{}\",\"NVIDIA H100 "
          "80GB HBM3\","
          "\"{}\",\"\",\"\",\"\",\"{}\",\"DCGM_FI_DRIVER_VERSION=\"\"535.129.03\"\",Hostname=\"\"{}"
          "\"\","
          "UUID=\"\"{}\"\",__name__=\"\"{}\"\",device=\"\"nvidia{}\"\",gpu=\"\"{}\"\",instance="
          "\"\"{}:9400"
          "\"\",job=\"\"dgx_dcgm_exporter\"\",modelName=\"\"NVIDIA H100 80GB HBM3\"\"\"\n",
          1 + number / 720, number / 30 % 24, number % 30 * 2, 34 + m / 3, kMetrics[m], g % 8,
          g % 8, uuid, host, reading, host, uuid, kMetrics[m], g % 8, g % 8, host);
    }
  }
  return out;
}

// A header and passes up to kTextSize.
const std::string& text() {
  static const std::string made = [] {
    std::string header =
        "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,"
        "labels_raw\n";
    std::string pass;
    if (const char* const path = std::getenv("GPU_TELEMETRY_CAPTURE")) {
      std::ifstream in(path, std::ios::binary);
      pass.assign(std::istreambuf_iterator<char>(in), {});
      header = pass.substr(0, pass.find('\n') + 1);
      pass.erase(0, header.size());
    }
    std::string out = header;
    out.reserve(kTextSize + pass.size());
    for (unsigned number = 0; out.size() < kTextSize; ++number) {
      out += pass.empty() ? generated_pass(number) : pass;
    }
    return out;
  }();
  return made;
}

void report(benchmark::State& state, std::size_t rows) {
  const auto passes = static_cast<std::int64_t>(state.iterations());
  state.SetBytesProcessed(passes * static_cast<std::int64_t>(text().size()));
  state.SetItemsProcessed(passes * static_cast<std::int64_t>(rows));
}

// The limit: one memchr per line, over the same text.
void BM_FindLineFeeds(benchmark::State& state) {
  std::size_t lines = 0;
  for (auto _ : state) {
    lines = 0;
    const char* at = text().data();
    const char* const end = at + text().size();
    while ((at = static_cast<const char*>(
                std::memchr(at, '\n', static_cast<std::size_t>(end - at)))) != nullptr) {
      ++lines;
      if (++at == end) break;
    }
    benchmark::DoNotOptimize(lines);
  }
  report(state, lines);
}
BENCHMARK(BM_FindLineFeeds)->Unit(benchmark::kMillisecond);

// Only copying it into a buffer that stays in the cache, as read() does.
void BM_Copy(benchmark::State& state) {
  std::string buffer(csv::kReadSize, '\0');
  for (auto _ : state) {
    const auto input = csv::memory_input(text());
    while (input->read(buffer, {})->size > 0) benchmark::DoNotOptimize(buffer.data());
  }
  report(state, 0);
}
BENCHMARK(BM_Copy)->Unit(benchmark::kMillisecond);

void for_each_supported(benchmark::internal::Benchmark* bench) {
  for (const Instructions instructions : csv::kAllInstructions) {
    if (csv::is_supported(instructions)) bench->Arg(static_cast<int>(instructions));
  }
  bench->Unit(benchmark::kMillisecond);
}

// Finding records and fields, without reading them.
void BM_Scan(benchmark::State& state) {
  const auto instructions = static_cast<Instructions>(state.range(0));
  state.SetLabel(std::string(to_string(instructions)));
  csv::CsvScanner scanner(instructions);
  std::size_t records = 0;
  for (auto _ : state) {
    scanner.reset();
    const auto input = csv::memory_input(text());
    csv::CsvRecord record;
    records = 0;
    for (csv::ScanStatus status; (status = scanner.next(record)) != csv::ScanStatus::kEnd;) {
      if (status == csv::ScanStatus::kRecord) {
        ++records;
        continue;
      }
      const std::size_t size = input->read(scanner.space(), {})->size;
      if (size == 0) scanner.finish();
      scanner.commit(size);
    }
  }
  report(state, records);
}
BENCHMARK(BM_Scan)->Apply(for_each_supported);

void read_source(benchmark::State& state, CsvSourceOptions options, csv::OpenInput open) {
  options.instructions = static_cast<Instructions>(state.range(0));
  state.SetLabel(std::string(to_string(options.instructions)));
  options.timestamp_mode = TimestampMode::kSource;
  options.loop = true;
  const auto source = *open_csv_source(options, std::move(open), false);
  TelemetryBatch batch;
  std::uint64_t rows = 0;
  const auto read_pass = [&] {
    const std::uint64_t until = source->counters().passes + 1;
    const std::uint64_t accepted = source->counters().rows_accepted;
    while (source->counters().passes < until && source->next(batch, 1000, {})) {
    }
    rows = source->counters().rows_accepted - accepted;
  };
  read_pass();
  const std::uint64_t before = allocations;
  std::uint64_t passes = 0;
  for (auto _ : state) {
    read_pass();
    ++passes;
  }
  state.counters["allocations/row"] =
      static_cast<double>(allocations - before) /
      static_cast<double>(passes * std::max<std::uint64_t>(rows, 1));
  report(state, rows);
}

// The whole source, batches of 1,000 rows, from memory (copied, as read() copies) ...
void BM_SourceFromMemory(benchmark::State& state) {
  CsvSourceOptions options;
  options.path = "memory";
  read_source(state, options, [] { return csv::memory_input(text()); });
}
BENCHMARK(BM_SourceFromMemory)->Apply(for_each_supported);

// ... and from a file in the page cache.
void BM_SourceFromFile(benchmark::State& state) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("csv_bench." + std::to_string(::getpid()) + ".csv");
  std::ofstream(path, std::ios::binary) << text();
  CsvSourceOptions options;
  options.path = path;
  read_source(state, options, [path] { return csv::open_input(path); });
  std::filesystem::remove(path);
}
BENCHMARK(BM_SourceFromFile)->Apply(for_each_supported);

}  // namespace
}  // namespace gpu_telemetry::sources
