#include "domain/attribution_timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

namespace gpu_telemetry {
namespace {

constexpr std::int64_t kBase = 1'750'000'000'000;

Timestamp at_tick(int tick) { return from_unix_milliseconds(kBase + tick); }
Attribution named(char who) { return {"main", std::string(1, who), "research"}; }

struct Observation {
  int from = 0;
  int to = 0;
  char who = 'a';
};

// "a:0-3 b:5-5".
std::string describe(const AttributionTimeline& timeline) {
  std::string text;
  for (const AttributionInterval& interval : timeline.intervals()) {
    if (!text.empty()) text += ' ';
    text += interval.who.pod + ':' + std::to_string(unix_milliseconds(interval.start) - kBase) +
            '-' + std::to_string(unix_milliseconds(interval.end) - kBase);
  }
  return text;
}

bool observe(AttributionTimeline& timeline, const Observation& observation) {
  return timeline.observe(at_tick(observation.from), at_tick(observation.to),
                          named(observation.who));
}

std::string described_after(const std::vector<Observation>& observations) {
  AttributionTimeline timeline;
  for (const Observation& observation : observations) observe(timeline, observation);
  return describe(timeline);
}

// The rule of the header, one tick at a time: an observation paints its ticks, and unpainted ticks
// between two of the same colour take it.
class Painting {
 public:
  static constexpr int kTicks = 12;

  void observe(const Observation& observation) {
    for (int t = observation.from; t <= observation.to; ++t) ticks_[index_of(t)] = observation.who;
    int last_painted = -1;
    for (int t = 0; t < kTicks; ++t) {
      if (ticks_[index_of(t)] == 0) continue;
      if (last_painted >= 0 && ticks_[index_of(last_painted)] == ticks_[index_of(t)]) {
        for (int between = last_painted; between < t; ++between) {
          ticks_[index_of(between)] = ticks_[index_of(t)];
        }
      }
      last_painted = t;
    }
  }

  std::string describe() const {
    std::string text;
    for (int t = 0; t < kTicks;) {
      const char who = ticks_[index_of(t)];
      int end = t;
      while (end + 1 < kTicks && ticks_[index_of(end + 1)] == who) ++end;
      if (who != 0) {
        if (!text.empty()) text += ' ';
        text += std::string(1, who) + ':' + std::to_string(t) + '-' + std::to_string(end);
      }
      t = end + 1;
    }
    return text;
  }

  // Who was in force: the colour of the tick, or of the last painted one before it.
  std::string at(int tick) const {
    for (int t = tick; t >= 0; --t) {
      if (ticks_[index_of(t)] != 0) return std::string(1, ticks_[index_of(t)]);
    }
    return "";
  }

 private:
  static std::size_t index_of(int t) { return static_cast<std::size_t>(t); }
  std::array<char, kTicks> ticks_{};
};

TEST(AttributionTimeline, IsEmptyAtFirst) {
  const AttributionTimeline timeline;
  EXPECT_TRUE(timeline.intervals().empty());
  EXPECT_EQ(timeline.at(at_tick(5)), nullptr);
}

TEST(AttributionTimeline, NewerScrapesOfTheSameLengthenTheInterval) {
  EXPECT_EQ(described_after({{1, 1, 'a'}, {5, 5, 'a'}, {8, 9, 'a'}}), "a:1-9");
}

TEST(AttributionTimeline, AnotherNameBeginsAnotherInterval) {
  EXPECT_EQ(described_after({{1, 4, 'a'}, {6, 9, 'b'}}), "a:1-4 b:6-9");
  EXPECT_EQ(described_after({{6, 9, 'b'}, {1, 4, 'a'}}), "a:1-4 b:6-9");
}

TEST(AttributionTimeline, AScrapeOfAnotherInsideAnIntervalSplitsIt) {
  EXPECT_EQ(described_after({{1, 9, 'a'}, {5, 5, 'b'}}), "a:1-4 b:5-5 a:6-9");
}

TEST(AttributionTimeline, IntervalsOfTheSameMergeOnlyWithNobodyBetween) {
  EXPECT_EQ(described_after({{1, 2, 'a'}, {5, 5, 'b'}, {8, 9, 'a'}}), "a:1-2 b:5-5 a:8-9");
  EXPECT_EQ(described_after({{1, 2, 'a'}, {8, 9, 'a'}, {5, 5, 'b'}}), "a:1-4 b:5-5 a:6-9");
}

TEST(AttributionTimeline, NobodyIsSomebodyToo) {
  AttributionTimeline timeline;
  timeline.observe(at_tick(1), at_tick(9), named('a'));
  timeline.observe(at_tick(10), at_tick(11), Attribution{});
  ASSERT_EQ(timeline.intervals().size(), 2U);
  EXPECT_EQ(timeline.at(at_tick(11))->who, Attribution{});
}

TEST(AttributionTimeline, OfTwoNamesForOneInstantTheLaterToArriveWins) {
  EXPECT_EQ(described_after({{5, 5, 'a'}, {5, 5, 'b'}}), "b:5-5");
}

TEST(AttributionTimeline, AtFindsTheIntervalInForce) {
  AttributionTimeline timeline;
  observe(timeline, {2, 4, 'a'});
  observe(timeline, {8, 9, 'b'});
  EXPECT_EQ(timeline.at(at_tick(1)), nullptr);
  EXPECT_EQ(timeline.at(at_tick(2))->who.pod, "a");
  EXPECT_EQ(timeline.at(at_tick(4))->who.pod, "a");
  EXPECT_EQ(timeline.at(at_tick(7))->who.pod, "a");
  EXPECT_EQ(timeline.at(at_tick(8))->who.pod, "b");
  EXPECT_EQ(timeline.at(at_tick(1000))->who.pod, "b");
}

TEST(AttributionTimeline, WhoMayBeTakenFromTheTimelineItself) {
  AttributionTimeline timeline;
  observe(timeline, {2, 4, 'a'});
  observe(timeline, {6, 7, 'b'});
  timeline.observe(at_tick(9), at_tick(9), timeline.intervals()[0].who);
  timeline.observe(at_tick(0), at_tick(11), timeline.intervals()[1].who);
  EXPECT_EQ(describe(timeline), "b:0-11");
}

// Every sequence of `length` observations of `candidates` in turn.
template <class Check>
void for_every_sequence(const std::vector<Observation>& candidates, std::size_t length,
                        std::vector<Observation>& sequence, const Check& check) {
  if (sequence.size() == length) {
    check(sequence);
    return;
  }
  for (const Observation& candidate : candidates) {
    sequence.push_back(candidate);
    for_every_sequence(candidates, length, sequence, check);
    sequence.pop_back();
    if (::testing::Test::HasFatalFailure()) return;
  }
}

std::vector<Observation> every_observation(int ticks, std::string_view names) {
  std::vector<Observation> all;
  for (int from = 0; from < ticks; ++from) {
    for (int to = from; to < ticks; ++to) {
      for (const char who : names) all.push_back({from, to, who});
    }
  }
  return all;
}

void expect_as_painted(const std::vector<Observation>& sequence) {
  AttributionTimeline timeline;
  Painting painting;
  for (const Observation& observation : sequence) {
    const std::string before = painting.describe();
    painting.observe(observation);
    const bool changed = observe(timeline, observation);
    ASSERT_EQ(describe(timeline), painting.describe());
    ASSERT_EQ(changed, before != painting.describe()) << before;
    ASSERT_FALSE(observe(timeline, observation)) << describe(timeline);
  }
  for (int t = 0; t < Painting::kTicks; ++t) {
    const AttributionInterval* interval = timeline.at(at_tick(t));
    ASSERT_EQ(interval == nullptr ? "" : interval->who.pod, painting.at(t));
  }
}

TEST(AttributionTimeline, EverySequenceOfThreeRangesFollowsTheRule) {
  std::vector<Observation> sequence;
  for_every_sequence(every_observation(5, "ab"), 3, sequence, expect_as_painted);
}

TEST(AttributionTimeline, EverySequenceOfFiveScrapesFollowsTheRule) {
  std::vector<Observation> points;
  for (int tick = 0; tick < 8; tick += 2) {  // with ticks between them that nobody observes
    points.push_back({tick, tick, 'a'});
    points.push_back({tick, tick, 'b'});
  }
  std::vector<Observation> sequence;
  for_every_sequence(points, 5, sequence, expect_as_painted);
}

TEST(AttributionTimeline, LongRandomSequencesFollowTheRule) {
  const std::vector<Observation> all = every_observation(Painting::kTicks, "abc");
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::vector<Observation> sequence;
    for (int i = 0; i < 15; ++i) sequence.push_back(all[random() % all.size()]);
    ASSERT_NO_FATAL_FAILURE(expect_as_painted(sequence));
  }
}

// What really happened: somebody at each of five scrapes. Batches carry runs of it.
std::vector<Observation> runs_of(const std::string& history, unsigned cuts) {
  std::vector<Observation> runs;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const int tick = static_cast<int>(2 * i);
    const bool cut = i == 0 || history[i] != history[i - 1] || ((cuts >> i) & 1U) != 0;
    if (cut) {
      runs.push_back({tick, tick, history[i]});
    } else {
      runs.back().to = tick;
    }
  }
  return runs;
}

TEST(AttributionTimeline, EveryOrderOfTrueRunsEndsWithTheTruthAndRepeatsChangeNothing) {
  constexpr std::size_t kScrapes = 5;
  std::vector<std::string> histories = {""};
  for (std::size_t i = 0; i < kScrapes; ++i) {
    std::vector<std::string> longer;
    for (const std::string& history : histories) {
      for (const char who : {'a', 'b', 'c'}) longer.push_back(history + who);
    }
    histories = std::move(longer);
  }
  for (const std::string& history : histories) {
    for (unsigned cuts = 0; cuts < (1U << kScrapes); cuts += 2) {
      const std::vector<Observation> runs = runs_of(history, cuts);
      std::vector<std::size_t> order(runs.size());
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
      do {
        AttributionTimeline timeline;
        for (const std::size_t i : order) observe(timeline, runs[i]);
        for (std::size_t i = 0; i < kScrapes; ++i) {
          const AttributionInterval* interval = timeline.at(at_tick(static_cast<int>(2 * i)));
          ASSERT_NE(interval, nullptr);
          ASSERT_EQ(interval->who.pod, std::string(1, history[i])) << history << ' ' << i;
        }
        for (const Observation& run : runs) {
          ASSERT_FALSE(observe(timeline, run)) << history << ' ' << describe(timeline);
        }
      } while (std::next_permutation(order.begin(), order.end()));
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry
