// A simulated fleet that several processes scrape together.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "sources/shareable_source.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

using namespace std::chrono_literals;

constexpr Timestamp kStart = from_unix_milliseconds(1'735'689'600'000);
constexpr std::uint64_t kStartPosition = 1'735'689'600'000;

ShardSelection selection_of(ShardSet shards, std::uint64_t from = 0) {
  ShardSelection selection;
  for (std::uint32_t shard = 0; shard < kShareableShards; ++shard) {
    if (contains(shards, shard)) selection.from[shard] = from;
  }
  return selection;
}

struct Window {
  std::map<GpuUuid, std::set<Timestamp>> scrapes;
  std::size_t samples = 0;
  WindowEnd end;
};

class SharedSimulatorTest : public testing::Test {
 protected:
  SharedSimulatorTest() {
    options_.gpus = 300;
    options_.events = false;
  }
  std::unique_ptr<Source> open() { return *make_simulator_source(options_, clock_); }
  static void select(Source& source, const ShardSelection& selection, std::size_t rows = 500) {
    source.shareable()->set_window(rows);
    ASSERT_TRUE(source.shareable()->select(selection, {}));
  }
  static Window next_window(Source& source) {
    Window window;
    TelemetryBatch batch;
    Result<SourceState> state = SourceState::kBatch;
    while (state && *state == SourceState::kBatch) {
      state = source.next(batch, 100, {});
      if (!state || *state == SourceState::kEnd) break;
      for (const Scrape& scrape : batch.scrapes) {
        window.scrapes[batch.gpus[scrape.gpu]->uuid].insert(scrape.timestamp);
      }
      window.samples += batch.samples.size();
    }
    EXPECT_TRUE(state);
    window.end = source.shareable()->window_end();
    return window;
  }

  ManualClock clock_{kStart};
  SimulatorOptions options_;
};

TEST_F(SharedSimulatorTest, APassIsAFewWindowsOfWholeShards) {
  auto source = open();
  select(*source, selection_of(kAllShards));
  ShardSet seen = 0;
  std::size_t samples = 0;
  while (samples < 3'000) {
    const Window window = next_window(*source);
    EXPECT_EQ(window.end.position, kStartPosition + 1);
    EXPECT_EQ(window.end.shards & seen, 0U);
    EXPECT_GE(window.samples, samples + window.samples < 3'000 ? 500U : 1U);
    for (const auto& [uuid, times] : window.scrapes) {
      EXPECT_TRUE(contains(window.end.shards, shard_of(uuid)));
      EXPECT_EQ(times, std::set<Timestamp>{kStart});
    }
    seen |= window.end.shards;
    samples += window.samples;
  }
  EXPECT_EQ(samples, 3'000U);
  clock_.advance(10s);
  EXPECT_EQ(next_window(*source).end.position, kStartPosition + 10'001);
}

TEST_F(SharedSimulatorTest, TwoProcessesScrapeEveryGpuOnce) {
  constexpr ShardSet kHalf = 0xffff'ffff;
  std::map<GpuUuid, std::set<Timestamp>> scrapes;
  std::size_t samples = 0;
  for (const ShardSet shards : {kHalf, ~kHalf}) {
    auto source = open();
    select(*source, selection_of(shards), 1'000'000);
    Window window = next_window(*source);
    samples += window.samples;
    scrapes.merge(window.scrapes);
  }
  EXPECT_EQ(scrapes.size(), 300U);
  EXPECT_EQ(samples, 3'000U);
}

TEST_F(SharedSimulatorTest, AShardThatMovesGoesOnWithTheNextPass) {
  auto source = open();
  select(*source, selection_of(kAllShards, kStartPosition + 1), 1'000'000);
  EXPECT_EQ(next_window(*source).samples, 0U) << "this time was scraped by another process";
  clock_.advance(10s);
  EXPECT_EQ(next_window(*source).samples, 3'000U);
}

TEST_F(SharedSimulatorTest, APassThatWasInterruptedGoesOnForTheShardsThatLackIt) {
  auto source = open();
  select(*source, selection_of(kAllShards));
  const Window first = next_window(*source);
  ShardSelection rest = selection_of(~first.end.shards);
  for (std::uint32_t shard = 0; shard < kShareableShards; ++shard) {
    if (contains(first.end.shards, shard)) rest.from[shard] = first.end.position;
  }
  select(*source, rest, 1'000'000);
  const Window others = next_window(*source);
  EXPECT_EQ(others.samples, 3'000U - first.samples);
  EXPECT_EQ(others.end.shards & first.end.shards, 0U);
  for (const auto& [uuid, times] : others.scrapes) EXPECT_EQ(times, std::set<Timestamp>{kStart});
}

TEST_F(SharedSimulatorTest, AClockThatWasSetBackByALotDoesNotSilenceTheFleet) {
  auto source = open();
  select(*source, selection_of(kAllShards, kStartPosition + 3'600'000), 1'000'000);
  EXPECT_EQ(next_window(*source).samples, 3'000U);
}

TEST_F(SharedSimulatorTest, EndsAllShardsWithTheLastPass) {
  options_.passes = 2;
  auto source = open();
  select(*source, selection_of(kAllShards), 1'000'000);
  EXPECT_FALSE(next_window(*source).end.finished);
  clock_.advance(10s);
  const Window last = next_window(*source);
  EXPECT_TRUE(last.end.finished);
  EXPECT_EQ(last.end.shards, kAllShards);
}

TEST_F(SharedSimulatorTest, IsNamedByItsParameters) {
  const std::string name = *open()->shareable()->shared_name();
  EXPECT_EQ(*open()->shareable()->shared_name(), name);
  options_.seed = 2;
  EXPECT_NE(*open()->shareable()->shared_name(), name);
}

TEST_F(SharedSimulatorTest, SettlesWhenTheClockIsPastItsLastPass) {
  auto source = open();
  select(*source, selection_of(kAllShards));
  next_window(*source);
  EXPECT_EQ(source->shareable()->until_settled(), 1ms);
  clock_.advance(1ms);
  EXPECT_EQ(source->shareable()->until_settled(), 0ms);
}

}  // namespace
}  // namespace gpu_telemetry::sources
