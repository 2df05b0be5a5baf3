#include <benchmark/benchmark.h>

#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

// The passes of a fleet as CSV, thrown away; bytes/s is what `gpu-telemetry simulate` can write.
void BM_SimulateCsv(benchmark::State& state) {
  SimulatorOptions options;
  options.gpus = static_cast<std::uint32_t>(state.range(0));
  std::int64_t bytes = 0;
  std::int64_t passes = 0;
  for (auto _ : state) {
    const TextSink sink = [&bytes](std::string_view text) {
      bytes += static_cast<std::int64_t>(text.size());
      return Result<void>{};
    };
    const auto written = simulate_csv(options, 20 * options.interval,
                                      from_unix_milliseconds(1'735'689'600'000), sink);
    if (!written) state.SkipWithError(written.error().message.c_str());
    passes += 20;
  }
  state.SetBytesProcessed(bytes);
  state.SetItemsProcessed(passes * state.range(0) * 10);
}
BENCHMARK(BM_SimulateCsv)->Arg(247)->Arg(10'000)->Unit(benchmark::kMillisecond);

// The live source without its pauses; items are samples.
void BM_LiveSource(benchmark::State& state) {
  SimulatorOptions options;
  options.gpus = static_cast<std::uint32_t>(state.range(0));
  options.unpaced = true;
  auto source = make_simulator_source(options);
  TelemetryBatch batch;
  std::int64_t samples = 0;
  for (auto _ : state) {
    if (!(*source)->next(batch, 1000, {})) state.SkipWithError("the source failed");
    samples += static_cast<std::int64_t>(batch.samples.size());
  }
  state.SetItemsProcessed(samples);
}
BENCHMARK(BM_LiveSource)->Arg(247)->Arg(10'000);

}  // namespace
}  // namespace gpu_telemetry::sources
