// How many samples a second a streamer publishes from a file, alone and sharing it, over a queue
// that answers at once or takes a while. 500,000 rows of 450 bytes, 1,000 a message.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>

#include "observability/log.h"
#include "services/pipeline_test_support.h"
#include "services/streamer/streamer.h"
#include "services/streamer/tampered_queue.h"
#include "sources/csv/csv_source.h"

namespace gpu_telemetry::services {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr unsigned kRows = 500'000;

// Metric-major, as an exporter's captures are.
class Capture {
 public:
  Capture() {
    std::ofstream out(path_, std::ios::binary);
    out << "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,"
           "value,labels_raw\n";
    char row[700];
    for (unsigned i = 0; i < kRows; ++i) {
      const unsigned gpu = i % 247;
      const unsigned metric = i / 247 % 10;
      const unsigned pass = i / 2470;
      const int size = std::snprintf(
          row, sizeof row,
          "\"2025-07-18T%02u:%02u:%02uZ\",\"DCGM_FI_DEV_METRIC_%u\",\"%u\",\"nvidia%u\","
          "\"GPU-5fd4f087-86f3-7a43-b711-477131%06x\",\"NVIDIA H100 80GB HBM3\",\"node-%03u\",\"\","
          "\"\",\"\",\"%u\",\"DCGM_FI_DRIVER_VERSION=\"\"535.129.03\"\",Hostname=\"\"node-%03u\"\","
          "UUID=\"\"GPU-5fd4f087-86f3-7a43-b711-477131%06x\"\",__name__=\"\"DCGM_FI_DEV_METRIC_%u"
          "\"\",device=\"\"nvidia%u\"\",gpu=\"\"%u\"\",instance=\"\"node-%03u:9400\"\","
          "job=\"\"dgx_dcgm_exporter\"\",modelName=\"\"NVIDIA H100 80GB HBM3\"\"\"\n",
          pass / 60 % 24, pass % 60, metric / 3 * 10, metric, gpu % 8, gpu % 8,
          gpu * 65537 & 0xffffff, gpu / 8, i % 97 + 3, gpu / 8, gpu * 65537 & 0xffffff, metric,
          gpu % 8, gpu % 8, gpu / 8);
      out.write(row, size);
    }
  }
  ~Capture() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_ = std::filesystem::temp_directory_path() /
                            ("streamer_bench." + std::to_string(::getpid()) + ".csv");
};

// Streams the file once with `streamers` processes' worth of streamers.
void stream_once(const std::string& path, int streamers, bool shared, microseconds latency) {
  testing::RunningContext context;
  queue::QueueOptions limits;
  limits.max_messages_per_topic = 1'000'000;
  limits.max_bytes = ByteSize{std::uint64_t{4} << 30};
  const auto memory = queue::make_memory_queue(limits, system_clock(), context.executor());
  testing::TamperedQueue network(*memory, context.executor());
  network.delay(latency);
  observability::Metrics metrics;
  std::vector<std::unique_ptr<Streamer>> all;
  std::vector<std::promise<void>> ends(static_cast<std::size_t>(streamers));
  for (auto& end : ends) {
    sources::CsvSourceOptions source;
    source.path = path;
    source.timestamp_mode = sources::TimestampMode::kSource;
    StreamerOptions options;
    options.batch_rows = 1000;
    options.interval = milliseconds{0};
    if (shared) options.shard_lease = milliseconds{15'000};
    all.push_back(std::make_unique<Streamer>(options, *sources::open_csv_source(source), network,
                                             wire::batch_codec(), metrics, context.executor()));
    all.back()->start([&end](const Result<void>&) { end.set_value(); });
  }
  for (auto& end : ends) end.get_future().wait();
  all.clear();
}

void BM_Streamer(benchmark::State& state) {
  static const Capture capture;
  observability::configure_logging(observability::LogLevel::kError, observability::LogFormat::kText,
                                   "bench");
  const auto streamers = static_cast<int>(state.range(0));
  const bool shared = state.range(1) != 0;
  for (auto _ : state) {
    stream_once(capture.path(), streamers, shared, microseconds{state.range(2)});
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * kRows);
  state.SetLabel(std::to_string(streamers) + (shared ? " sharing, " : " alone, ") +
                 std::to_string(state.range(2)) + " us");
}
BENCHMARK(BM_Streamer)
    ->Args({1, 0, 0})
    ->Args({1, 1, 0})
    ->Args({1, 0, 1000})
    ->Args({1, 1, 1000})
    ->Args({2, 1, 1000})
    ->Args({1, 1, 10'000})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gpu_telemetry::services
