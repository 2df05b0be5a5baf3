// What the simulator writes, read by the CSV source.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <tuple>

#include "sources/csv/csv_source.h"
#include "sources/simulator/fleet_model.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

using namespace std::chrono_literals;

using Key = std::tuple<GpuUuid, Timestamp, std::string>;
struct Found {
  double value = 0;
  Attribution who;
  std::string hostname;
  friend bool operator==(const Found&, const Found&) = default;
};

// What the model says, without any text in between. Sets `blanks`.
std::map<Key, Found> expected_of(const SimulationFileOptions& options, std::uint64_t& blanks) {
  constexpr std::array<int, kSimulatedMetrics> kOffsets = {0, 0, 0, 1, 1, 1, 2,
                                                           3, 3, 3, 3, 3, 3, 3};
  FleetModel fleet(options.fleet);
  std::map<Key, Found> expected;
  blanks = 0;
  for (auto time = 0ms; time < options.duration; time += options.fleet.interval) {
    fleet.advance(time == 0ms ? 0ms : options.fleet.interval);
    for (const SimulatedGpu& gpu : fleet.gpus()) {
      for (std::size_t metric = 0; metric < kSimulatedMetrics; ++metric) {
        if (gpu.readings.lacks(metric)) ++blanks;
        if (!gpu.readings.has(metric)) continue;
        const double value = static_cast<double>(gpu.readings.values[metric]);
        const Timestamp at = options.start + time + std::chrono::seconds{kOffsets[metric]};
        expected[{gpu.uuid, at, std::string(kSimulatedMetricNames[metric])}] = {
            metric == kPowerUsage ? value / 1000 : value, gpu.attribution,
            fleet.host_name(gpu.host)};
      }
    }
  }
  return expected;
}

std::map<Key, Found> read_through(Source& source) {
  std::map<Key, Found> found;
  TelemetryBatch batch;
  for (;;) {
    const auto state = source.next(batch, 1000, {});
    EXPECT_TRUE(state);
    if (!state || *state == SourceState::kEnd) return found;
    for (const Scrape& scrape : batch.scrapes) {
      const Gpu& gpu = *batch.gpus[scrape.gpu];
      for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
        const Sample& sample = batch.samples[scrape.first_sample + i];
        found[{gpu.uuid, scrape.timestamp, batch.metrics[sample.metric]}] = {
            sample.value, gpu.attribution, gpu.hostname};
      }
    }
  }
}

TEST(SimulationThroughCsv, TheCsvSourceFindsEveryReadingOfTheModel) {
  SimulationFileOptions options;
  options.fleet.gpus = 50;
  options.duration = 10min;
  const std::string path =
      ::testing::TempDir() + "simulation_through_csv_" + std::to_string(::getpid()) + ".csv";
  ASSERT_TRUE(write_simulation(options, path));

  CsvSourceOptions csv;
  csv.path = path;
  csv.timestamp_mode = TimestampMode::kSource;
  auto source = open_csv_source(csv);
  ASSERT_TRUE(source);
  std::uint64_t blanks = 0;
  const std::map<Key, Found> expected = expected_of(options, blanks);
  const std::map<Key, Found> found = read_through(**source);
  std::filesystem::remove(path);

  EXPECT_GT(expected.size(), 29'000U);
  EXPECT_EQ(found.size(), expected.size());
  EXPECT_TRUE(found == expected);
  const SourceCounters& counters = (*source)->counters();
  EXPECT_EQ(counters.rows_malformed, 0U);
  EXPECT_EQ(counters.rows_accepted, expected.size());
  EXPECT_GT(blanks, 0U);
  EXPECT_EQ(counters.rows_absent, blanks);
  EXPECT_EQ(counters.rejected[static_cast<std::size_t>(Rejection::kBlank)], blanks);
}

}  // namespace
}  // namespace gpu_telemetry::sources
