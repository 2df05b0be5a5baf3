#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

using namespace std::chrono_literals;

constexpr Timestamp kStart = from_unix_milliseconds(1'735'689'600'000);

void expect_sound(const TelemetryBatch& batch) {
  std::uint32_t next_sample = 0;
  for (const Scrape& scrape : batch.scrapes) {
    ASSERT_LT(scrape.gpu, batch.gpus.size());
    ASSERT_EQ(scrape.first_sample, next_sample);
    ASSERT_GT(scrape.sample_count, 0U);
    next_sample += scrape.sample_count;
  }
  ASSERT_EQ(next_sample, batch.samples.size());
  for (const Sample& sample : batch.samples) ASSERT_LT(sample.metric, batch.metrics.size());
  const std::set<std::string> names(batch.metrics.begin(), batch.metrics.end());
  ASSERT_EQ(names.size(), batch.metrics.size());
  for (const std::string& name : names) ASSERT_EQ(canonical_metric_name(name), name);
}

SimulatorOptions unpaced(std::uint64_t passes) {
  SimulatorOptions options;
  options.unpaced = true;
  options.start = kStart;
  options.passes = passes;
  return options;
}

TEST(SimulatorSource, HandsOutEveryReadingOfEveryPassAndEnds) {
  SimulatorOptions options = unpaced(5);
  options.events = false;
  auto source = *make_simulator_source(options);
  TelemetryBatch batch;
  std::size_t samples = 0;
  std::set<Timestamp> times;
  for (;;) {
    const auto state = source->next(batch, 33, {});
    ASSERT_TRUE(state);
    if (*state == SourceState::kEnd) break;
    ASSERT_NO_FATAL_FAILURE(expect_sound(batch));
    EXPECT_LE(batch.samples.size(), 33U);
    samples += batch.samples.size();
    for (const Scrape& scrape : batch.scrapes) times.insert(scrape.timestamp);
  }
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(samples, 16U * 10U * 5U);
  EXPECT_EQ(source->counters().rows_accepted, samples);
  EXPECT_EQ(source->counters().passes, 5U);
  EXPECT_EQ(times,
            (std::set<Timestamp>{kStart, kStart + 10s, kStart + 20s, kStart + 30s, kStart + 40s}));
  EXPECT_EQ(*source->next(batch, 33, {}), SourceState::kEnd);
}

TEST(SimulatorSource, TheSizeOfBatchesDoesNotChangeTheReadings) {
  const auto readings = [](std::size_t max_rows) {
    auto source = *make_simulator_source(unpaced(50));
    TelemetryBatch batch;
    std::set<std::string> all;
    while (*source->next(batch, max_rows, {}) == SourceState::kBatch) {
      for (const Scrape& scrape : batch.scrapes) {
        for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
          const Sample& sample = batch.samples[scrape.first_sample + i];
          all.insert(batch.gpus[scrape.gpu]->uuid.to_string() + format_rfc3339(scrape.timestamp) +
                     batch.metrics[sample.metric] + std::to_string(sample.value) +
                     batch.gpus[scrape.gpu]->attribution.pod);
        }
      }
    }
    return all;
  };
  const std::set<std::string> all = readings(1);
  EXPECT_GT(all.size(), 7'900U);
  EXPECT_EQ(readings(7), all);
  EXPECT_EQ(readings(100'000), all);
}

TEST(SimulatorSource, AbsentReadingsAreCountedAndNotHandedOut) {
  SimulatorOptions options = unpaced(360);
  options.gpus = 64;
  auto source = *make_simulator_source(options);
  TelemetryBatch batch;
  std::uint64_t samples = 0;
  while (*source->next(batch, 1000, {}) == SourceState::kBatch) {
    ASSERT_NO_FATAL_FAILURE(expect_sound(batch));
    samples += batch.samples.size();
  }
  const SourceCounters& counters = source->counters();
  EXPECT_EQ(counters.rows_accepted, samples);
  EXPECT_GT(counters.rows_absent, 0U);
  EXPECT_EQ(counters.rejected[static_cast<std::size_t>(Rejection::kBlank)], counters.rows_absent);
}

TEST(SimulatorSource, ShardsTogetherAreTheFleet) {
  SimulatorOptions options = unpaced(1);
  options.gpus = 200;
  options.events = false;
  std::set<GpuUuid> seen;
  std::size_t samples = 0;
  for (std::uint32_t index = 0; index < 3; ++index) {
    auto source = *make_simulator_source(options, system_clock(), {index, 3});
    TelemetryBatch batch;
    while (*source->next(batch, 10'000, {}) == SourceState::kBatch) {
      samples += batch.samples.size();
      for (const GpuPointer& gpu : batch.gpus) seen.insert(gpu->uuid);
    }
    EXPECT_EQ(source->counters().rows_accepted + source->counters().rows_other_shard, 2'000U);
  }
  EXPECT_EQ(seen.size(), 200U);
  EXPECT_EQ(samples, 2'000U);
}

TEST(SimulatorSource, PassesComeWhenTheClockSaysSo) {
  ManualClock clock(kStart);
  SimulatorOptions options;
  options.gpus = 1;
  auto source = *make_simulator_source(options, clock);
  TelemetryBatch batch;
  ASSERT_TRUE(source->next(batch, 1000, {}));
  EXPECT_EQ(batch.scrapes.at(0).timestamp, kStart);
  clock.advance(10s);
  ASSERT_TRUE(source->next(batch, 1000, {}));
  EXPECT_EQ(batch.scrapes.at(0).timestamp, kStart + 10s);
  clock.advance(65s);  // a slow reader misses passes and does not get them all at once
  ASSERT_TRUE(source->next(batch, 1000, {}));
  EXPECT_EQ(batch.scrapes.at(0).timestamp, kStart + 75s);
}

TEST(SimulatorSource, AWaitEndsWhenTheClockIsMoved) {
  ManualClock clock(kStart);
  SimulatorOptions options;
  options.gpus = 1;
  auto source = *make_simulator_source(options, clock);
  TelemetryBatch batch;
  ASSERT_TRUE(source->next(batch, 1000, {}));
  Timestamp time;
  std::jthread reader([&] {
    if (source->next(batch, 1000, {})) time = batch.scrapes.at(0).timestamp;
  });
  clock.advance(10s);
  reader.join();
  EXPECT_EQ(time, kStart + 10s);
}

TEST(SimulatorSource, AStopEndsTheWait) {
  ManualClock clock(kStart);
  SimulatorOptions options;
  auto source = *make_simulator_source(options, clock);
  TelemetryBatch batch;
  ASSERT_TRUE(source->next(batch, 1000, {}));
  Result<SourceState> state = SourceState::kEnd;
  std::jthread reader([&](std::stop_token stop) { state = source->next(batch, 1000, stop); });
  reader.request_stop();
  reader.join();
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, ErrorCode::kCancelled);
}

TEST(SimulatorSource, AnIntervalOfZeroGivesOnePassForEachMillisecond) {
  ManualClock clock(kStart);
  SimulatorOptions options;
  options.gpus = 1;
  options.interval = 0ms;
  auto source = *make_simulator_source(options, clock);
  TelemetryBatch batch;
  for (int pass = 0; pass < 10; ++pass) {
    ASSERT_TRUE(source->next(batch, 1000, {}));
    EXPECT_EQ(batch.scrapes.at(0).timestamp, kStart + std::chrono::milliseconds{pass});
    clock.advance(1ms);
  }
}

TEST(SimulatorSource, AttributionsChangeOverTimeAndAreSharedBetweenPasses) {
  SimulatorOptions options = unpaced(720);
  auto source = *make_simulator_source(options);
  TelemetryBatch batch;
  std::set<GpuPointer> pointers;
  std::set<Attribution> attributions;
  while (*source->next(batch, 100'000, {}) == SourceState::kBatch) {
    pointers.insert(batch.gpus.begin(), batch.gpus.end());
    for (const GpuPointer& gpu : batch.gpus) attributions.insert(gpu->attribution);
  }
  EXPECT_GT(attributions.size(), 10U);
  EXPECT_LT(pointers.size(), 500U);
}

TEST(SimulatorSource, WrongOptionsAreRefused) {
  SimulatorOptions options;
  options.gpus = kMaxSimulatedGpus + 1;
  const auto source = make_simulator_source(options);
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace gpu_telemetry::sources
