#include "wire/batch_wire.h"

#include <benchmark/benchmark.h>

#include "wire/synthetic_batch.h"

namespace {

using namespace gpu_telemetry;

void count(benchmark::State& state, const TelemetryBatch& batch, const std::string& bytes) {
  const auto samples = static_cast<double>(batch.samples.size());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.samples.size()));
  state.counters["bytes_per_sample"] = static_cast<double>(bytes.size()) / samples;
}

// Arguments: GPUs of the pass, timestamps of each.
void encode(benchmark::State& state) {
  const TelemetryBatch batch = wire::synthetic_pass(static_cast<std::size_t>(state.range(0)),
                                                    static_cast<std::size_t>(state.range(1)));
  std::string bytes;
  for (auto _ : state) {
    wire::batch_codec().encode(batch, bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
  count(state, batch, bytes);
}
BENCHMARK(encode)->Args({100, 1})->Args({100, 4})->Args({247, 4});

void decode(benchmark::State& state) {
  const TelemetryBatch batch = wire::synthetic_pass(static_cast<std::size_t>(state.range(0)),
                                                    static_cast<std::size_t>(state.range(1)));
  std::string bytes;
  wire::batch_codec().encode(batch, bytes);
  TelemetryBatch decoded;
  for (auto _ : state) {
    if (!wire::batch_codec().decode(bytes, decoded)) state.SkipWithError("does not decode");
    benchmark::DoNotOptimize(decoded.samples.data());
  }
  count(state, batch, bytes);
}
BENCHMARK(decode)->Args({100, 1})->Args({100, 4})->Args({247, 4});

}  // namespace
