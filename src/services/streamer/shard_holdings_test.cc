#include "services/streamer/shard_holdings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace gpu_telemetry::services {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

queue::ShardAssignment held(std::vector<queue::ShardLease> leases) {
  queue::ShardAssignment assignment;
  assignment.held = std::move(leases);
  return assignment;
}

TEST(ShardHoldings, HoldsNothingAtFirst) {
  const ShardHoldings holdings;
  EXPECT_EQ(holdings.size(), 0U);
  EXPECT_FALSE(holdings.has_work());
  EXPECT_EQ(holdings.selection().shards(), 0U);
  EXPECT_THAT(holdings.choose(3), IsEmpty());
}

TEST(ShardHoldings, ReadsUnfinishedShardsFromWhereTheyWerePublishedTo) {
  ShardHoldings holdings;
  const auto change = holdings.take(held({{2, 1, 70, false}, {5, 1, 90, true}}), false);
  EXPECT_EQ(change.gained, 2U);
  EXPECT_EQ(change.ended, 0U);
  EXPECT_EQ(holdings.size(), 2U);
  EXPECT_TRUE(holdings.has_work());
  EXPECT_EQ(holdings.selection().shards(), 1U << 2);
  EXPECT_EQ(holdings.selection().from[2], 70U);
}

TEST(ShardHoldings, AnAnswerDoesNotTakeBackWhatWasPublishedMeanwhile) {
  ShardHoldings holdings;
  holdings.take(held({{2, 1, 70, false}}), false);
  holdings.advance(holdings.steps({.shards = 1U << 2, .position = 100, .finished = false}));
  EXPECT_FALSE(holdings.take(held({{2, 1, 70, false}}), false).any());
  EXPECT_EQ(holdings.selection().from[2], 100U);
  EXPECT_FALSE(holdings.take(held({{2, 1, 70, false}}), true).any());
  EXPECT_EQ(holdings.selection().from[2], 70U) << "nothing was under way: the queue knows better";
}

TEST(ShardHoldings, ANewLeaseOfAShardIsALossAndAGain) {
  ShardHoldings holdings;
  holdings.take(held({{2, 1, 70, false}, {3, 1, 70, false}}), false);
  const auto change = holdings.take(held({{2, 4, 85, false}}), false);
  EXPECT_EQ(change.gained, 1U);
  EXPECT_EQ(change.ended, 2U);
  EXPECT_EQ(holdings.selection().from[2], 85U);
  holdings.advance(std::vector<queue::ShardStep>{{2, 1, 70, 99, false}, {3, 1, 70, 99, false}});
  EXPECT_EQ(holdings.selection().from[2], 85U) << "that publish was of the lease before";
}

TEST(ShardHoldings, AWindowMovesTheHeldShardsThatItIsOf) {
  ShardHoldings holdings;
  holdings.take(held({{1, 7, 50, false}, {2, 8, 100, false}, {3, 9, 10, true}}), false);
  const auto steps = holdings.steps(
      {.shards = sources::kAllShards & ~sources::ShardSet{2}, .position = 100, .finished = true});
  ASSERT_THAT(steps, SizeIs(1)) << "1 is not of the window, 3 is finished";
  EXPECT_EQ(steps[0].shard, 2U);
  EXPECT_EQ(steps[0].fence, 8U);
  EXPECT_EQ(steps[0].from, 100U);
  EXPECT_EQ(steps[0].to, 101U) << "a step always goes on";
  EXPECT_TRUE(steps[0].finished);
  holdings.advance(steps);
  EXPECT_EQ(holdings.selection().shards(), 1U << 1);
}

TEST(ShardHoldings, GivesBackAMixtureOfFinishedAndUnfinishedShards) {
  ShardHoldings holdings;
  std::vector<queue::ShardLease> leases;
  for (std::uint32_t shard = 0; shard < 64; ++shard) leases.push_back({shard, 1, 0, shard >= 32});
  holdings.take(held(leases), false);
  const std::vector<std::uint32_t> chosen = holdings.choose(32);
  EXPECT_THAT(std::set<std::uint32_t>(chosen.begin(), chosen.end()), SizeIs(32));
  EXPECT_EQ(std::ranges::count_if(chosen, [](auto shard) { return shard < 32; }), 16);
  EXPECT_THAT(holdings.choose(100), SizeIs(64));
}

}  // namespace
}  // namespace gpu_telemetry::services
