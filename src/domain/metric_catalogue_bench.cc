#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

#include "domain/metric_catalogue.h"

namespace gpu_telemetry {
namespace {

// Values as a capture has them, in turn.
void BM_InterpretReading(benchmark::State& state) {
  struct Case {
    const MetricDefinition* definition;
    std::string_view text;
  };
  const std::array<Case, 8> cases = {{{find_metric("DCGM_FI_DEV_GPU_UTIL"), "97"},
                                      {find_metric("DCGM_FI_DEV_MEM_COPY_UTIL"), "0"},
                                      {find_metric("DCGM_FI_DEV_POWER_USAGE"), "640.918"},
                                      {find_metric("DCGM_FI_DEV_GPU_TEMP"), "63"},
                                      {find_metric("DCGM_FI_DEV_FB_USED"), "77353"},
                                      {find_metric("DCGM_FI_DEV_FB_FREE"), "3654"},
                                      {find_metric("DCGM_FI_DEV_SM_CLOCK"), "1980"},
                                      {find_metric("DCGM_FI_DEV_MEM_CLOCK"), "2619"}}};
  for (auto _ : state) {
    for (const Case& item : cases) {
      benchmark::DoNotOptimize(interpret_reading(item.definition, item.text));
    }
  }
  state.SetItemsProcessed(state.iterations() * std::ssize(cases));
}
BENCHMARK(BM_InterpretReading);

// Numbers that the fast path leaves to std::from_chars.
void BM_InterpretLongReading(benchmark::State& state) {
  const MetricDefinition* definition = find_metric("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION");
  for (auto _ : state) {
    benchmark::DoNotOptimize(interpret_reading(definition, "1234567890123456789"));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_InterpretLongReading);

// Every name of the catalogue in turn, old and new.
void BM_FindMetric(benchmark::State& state) {
  std::vector<std::string> names;
  for (const MetricDefinition& definition : metric_definitions()) {
    names.emplace_back(definition.name);
    names.emplace_back(definition.current_name);
  }
  for (auto _ : state) {
    for (const std::string& name : names) benchmark::DoNotOptimize(find_metric(name));
  }
  state.SetItemsProcessed(state.iterations() * std::ssize(names));
}
BENCHMARK(BM_FindMetric);

}  // namespace
}  // namespace gpu_telemetry
