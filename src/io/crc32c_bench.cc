#include <benchmark/benchmark.h>

#include <string>

#include "io/crc32c.h"
#include "io/crc32c_internal.h"

namespace {

using namespace gpu_telemetry::io;

void crc32c_chosen(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_chosen)->Arg(64)->Arg(4096)->Arg(1 << 20);

void crc32c_tables(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    benchmark::DoNotOptimize(internal::crc32c_by_tables(0, bytes.data(), bytes.size()));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_tables)->Arg(64)->Arg(4096)->Arg(1 << 20);

}  // namespace
