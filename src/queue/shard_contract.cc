#include "queue/shard_contract.h"

#include <random>

namespace gpu_telemetry::queue {
namespace {

// --- who holds what

TEST_P(ShardContract, AMemberAloneHoldsAllShardsFromTheirBeginning) {
  const ShardAssignment alone = join("a");
  ASSERT_EQ(alone.held.size(), kShards);
  for (std::uint32_t i = 0; i < kShards; ++i) {
    EXPECT_EQ(alone.held[i].shard, i);
    EXPECT_EQ(alone.held[i].position, 0U);
    EXPECT_GT(alone.held[i].fence, 0U);
    EXPECT_FALSE(alone.held[i].finished);
  }
  EXPECT_EQ(alone.surplus, 0U);
  EXPECT_EQ(alone.members, 1U);
  EXPECT_FALSE(alone.finished);
}

TEST_P(ShardContract, AnotherMemberGetsItsShareWhenTheFirstHasGivenItBack) {
  join("a");
  EXPECT_THAT(join("b").held, IsEmpty());
  const ShardAssignment before = join("a");
  EXPECT_EQ(before.held.size(), kShards) << "no shard is taken from a live member";
  EXPECT_EQ(before.surplus, 32U);
  const ShardAssignment after = give_back_surplus("a");
  EXPECT_EQ(after.held.size(), 32U);
  EXPECT_EQ(after.surplus, 0U);
  const ShardAssignment other = join("b");
  EXPECT_EQ(other.held.size(), 32U);
  EXPECT_EQ(other.members, 2U);
  for (const std::uint32_t shard : numbers(other)) {
    EXPECT_THAT(numbers(after), ::testing::Not(::testing::Contains(shard)));
  }
}

TEST_P(ShardContract, SharesDifferByOneAtMostAndTheFirstNamesHaveIt) {
  for (const char* member : {"b", "c", "a"}) join(member);
  for (int round = 0; round < 3; ++round) {
    for (const char* member : {"a", "b", "c"}) give_back_surplus(member);
  }
  EXPECT_EQ(join("a").held.size(), 22U);
  EXPECT_EQ(join("b").held.size(), 21U);
  EXPECT_EQ(join("c").held.size(), 21U);
}

TEST_P(ShardContract, AMemberThatLeavesFreesItsShards) {
  join("a");
  const ShardAssignment left = leave("a");
  EXPECT_THAT(left.held, IsEmpty());
  EXPECT_EQ(left.members, 0U);
  EXPECT_EQ(join("b").held.size(), kShards);
}

TEST_P(ShardContract, WhoIsNotHeardOfLosesItsShardsToOthers) {
  const ShardAssignment lost = join("a", 10s);
  join("b", 60s);
  advance(9s);
  EXPECT_THAT(join("b", 60s).held, IsEmpty());
  advance(1s);
  const ShardAssignment taken = join("b", 60s);
  ASSERT_EQ(taken.held.size(), kShards);
  EXPECT_EQ(taken.members, 1U);
  EXPECT_GT(taken.held[0].fence, lost.held[0].fence);
}

TEST_P(ShardContract, RenewingKeepsAMemberAlive) {
  const ShardAssignment first = join("a", 10s);
  for (int i = 0; i < 5; ++i) {
    advance(8s);
    EXPECT_EQ(join("a", 10s).held[0].fence, first.held[0].fence);
  }
}

TEST_P(ShardContract, ShardsOfOthersAreNotGivenBackByAMember) {
  join("a");
  ShardRequest request = ask("b");
  request.give_back = {0, 1, 2};
  ok(queue().shards(std::move(request)));
  EXPECT_EQ(join("a").held.size(), kShards);
}

TEST_P(ShardContract, SourcesAndTopicsHaveBoardsOfTheirOwn) {
  join("a");
  ShardRequest other = ask("b");
  other.source = "other.csv";
  EXPECT_EQ(ok(queue().shards(other)).held.size(), kShards);
  other = ask("b");
  other.topic = "elsewhere";
  EXPECT_EQ(ok(queue().shards(other)).held.size(), kShards);
}

TEST_P(ShardContract, UnfinishedShardsAreGrantedFirst) {
  const ShardAssignment all = join("a");
  std::vector<ShardStep> steps;
  for (std::uint32_t i = 0; i < 40; ++i) steps.push_back(step(all.held[i], 7, true));
  ASSERT_TRUE(publish_progress({}, progress("a", steps)));
  join("b");
  // The last member of two has 32: the 24 unfinished ones and the first 8 others.
  leave("a");
  join("a");
  const ShardAssignment b = give_back_surplus("b");
  EXPECT_EQ(b.held.size(), 32U);
  leave("a");
  leave("b");
  join("c");
  const ShardAssignment c = join("c");
  EXPECT_EQ(c.held.size(), kShards);
  EXPECT_TRUE(lease_of(c, 0).finished);
  EXPECT_FALSE(lease_of(c, 63).finished);
}

// --- publishing

TEST_P(ShardContract, APublishMovesThePositionsOfItsSteps) {
  const ShardAssignment all = join("a");
  const auto published = publish_progress(
      {"x", "y"}, progress("a", {step(all.held[3], 100), step(all.held[9], 250, true)}));
  ASSERT_TRUE(published) << published.error();
  ASSERT_THAT(*published, SizeIs(2));
  EXPECT_FALSE((*published)[0].duplicate);
  EXPECT_FALSE((*published)[0].message_id.empty());
  const ShardAssignment now = join("a");
  EXPECT_EQ(lease_of(now, 3).position, 100U);
  EXPECT_FALSE(lease_of(now, 3).finished);
  EXPECT_EQ(lease_of(now, 9).position, 250U);
  EXPECT_TRUE(lease_of(now, 9).finished);
  EXPECT_EQ(lease_of(now, 4).position, 0U);
  EXPECT_THAT(payloads(fetch()), ElementsAre("x", "y"));
}

TEST_P(ShardContract, ARepetitionIsAcceptedOnce) {
  const ShardAssignment all = join("a");
  const ShardProgress same = progress("a", {step(all.held[0], 10)});
  ASSERT_TRUE(publish_progress({"x"}, same));
  const auto again = publish_progress({"x"}, same);
  ASSERT_TRUE(again) << again.error();
  ASSERT_THAT(*again, SizeIs(1));
  EXPECT_TRUE((*again)[0].duplicate);
  EXPECT_THAT((*again)[0].message_id, IsEmpty());
  EXPECT_THAT(payloads(fetch()), ElementsAre("x"));
}

TEST_P(ShardContract, ASuccessorGoesOnWhereTheLastPublishEnded) {
  const ShardAssignment first = join("a", 10s);
  ASSERT_TRUE(publish_progress({"x"}, progress("a", {step(first.held[5], 42)})));
  advance(10s);
  const ShardAssignment next = join("b");
  EXPECT_EQ(lease_of(next, 5).position, 42U);
  ASSERT_TRUE(publish_progress({"y"}, progress("b", {step(lease_of(next, 5), 50)})));
  EXPECT_THAT(payloads(fetch()), ElementsAre("x", "y"));
}

TEST_P(ShardContract, AMemberThatWasFrozenPastItsLeasePublishesNothing) {
  const ShardAssignment frozen = join("a", 10s);
  advance(10s);
  join("b");
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"x"}),
                                     progress("a", {step(frozen.held[0], 5)}))),
            ErrorCode::kConflict);
  EXPECT_THAT(fetch(), IsEmpty());
  EXPECT_EQ(lease_of(join("b"), 0).position, 0U);
}

TEST_P(ShardContract, AnExpiredLeaseIsLostEvenWhenNobodyElseTookIt) {
  const ShardAssignment frozen = join("a", 10s);
  advance(10s);
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"x"}),
                                     progress("a", {step(frozen.held[0], 5)}))),
            ErrorCode::kConflict);
}

TEST_P(ShardContract, OneStepThatIsWrongRefusesAll) {
  const ShardAssignment all = join("a");
  ShardStep wrong = step(all.held[1], 9);
  wrong.from = 3;
  const auto refused = publish_progress({"x"}, progress("a", {step(all.held[0], 9), wrong}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("shard 1"));
  ShardStep foreign = step(all.held[1], 9);
  foreign.fence += 1;
  EXPECT_FALSE(publish_progress({"x"}, progress("a", {step(all.held[0], 9), foreign})));
  EXPECT_EQ(lease_of(join("a"), 0).position, 0U);
  EXPECT_THAT(fetch(), IsEmpty());
}

TEST_P(ShardContract, ASourceThatNobodyJoinedIsAConflict) {
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"x"}),
                                     progress("a", {ShardStep{0, 1, 0, 5, false}}))),
            ErrorCode::kConflict);
}

TEST_P(ShardContract, AFullQueueMovesNothing) {
  QueueOptions options;
  options.max_messages_per_topic = 2;
  make(options);
  const ShardAssignment all = join("a");
  publish({"1", "2"});
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"x"}),
                                     progress("a", {step(all.held[0], 5)}))),
            ErrorCode::kFull);
  EXPECT_EQ(lease_of(join("a"), 0).position, 0U);
  ack(receipts(fetch()));
  EXPECT_TRUE(publish_progress({"x"}, progress("a", {step(all.held[0], 5)})));
}

TEST_P(ShardContract, PublishingWithProgressRenewsTheMembership) {
  const ShardAssignment all = join("a", 10s);
  ShardLease lease = all.held[0];
  for (int i = 0; i < 4; ++i) {
    advance(8s);
    ASSERT_TRUE(publish_progress({}, progress("a", {step(lease, lease.position + 5)})));
    lease.position += 5;
  }
}

// --- ends

TEST_P(ShardContract, ABoardWhoseShardsAreAllFinishedIsForgottenWithItsLastMember) {
  const ShardAssignment all = join("a");
  join("b");
  std::vector<ShardStep> steps;
  for (const ShardLease& lease : all.held) steps.push_back(step(lease, 9, true));
  ASSERT_TRUE(publish_progress({"x"}, progress("a", steps)));
  EXPECT_TRUE(join("a").finished);
  leave("a");
  EXPECT_TRUE(join("b").finished) << "others see it until they leave";
  EXPECT_TRUE(leave("b").finished);
  const ShardAssignment anew = join("a");
  EXPECT_FALSE(anew.finished);
  EXPECT_EQ(anew.held[0].position, 0U);
}

TEST_P(ShardContract, ABoardThatIsNotFinishedIsKeptForAnHourWithoutMembers) {
  const ShardAssignment all = join("a");
  ASSERT_TRUE(publish_progress({"x"}, progress("a", {step(all.held[0], 9)})));
  leave("a");
  advance(minutes{59});
  EXPECT_EQ(join("a").held[0].position, 9U);
  leave("a");
  advance(minutes{60});
  EXPECT_EQ(join("a").held[0].position, 0U);
}

TEST_P(ShardContract, StatisticsNameTheSources) {
  publish({"x"});
  EXPECT_THAT(topic_statistics().sources, IsEmpty());
  join("a");
  join("b");
  give_back_surplus("a");
  const auto sources = topic_statistics().sources;
  ASSERT_THAT(sources, SizeIs(1));
  EXPECT_EQ(sources[0].source, "fleet.csv");
  EXPECT_EQ(sources[0].members, 2U);
  EXPECT_EQ(sources[0].shards_held, 32U);
  EXPECT_FALSE(sources[0].finished);
}

TEST_P(ShardContract, WhatMakesNoSenseIsInvalid) {
  ShardRequest request = ask("");
  EXPECT_EQ(error_of(queue().shards(request)), ErrorCode::kInvalid);
  request = ask("a");
  request.source = std::string(kMaxSourceSize + 1, 'x');
  EXPECT_EQ(error_of(queue().shards(request)), ErrorCode::kInvalid);
  request = ask("a", 10ms);
  EXPECT_EQ(error_of(queue().shards(request)), ErrorCode::kInvalid);
  request = ask("a");
  request.give_back = {kShards};
  EXPECT_EQ(error_of(queue().shards(request)), ErrorCode::kInvalid);
  const ShardLease lease = join("a").held[0];
  const std::vector<std::vector<ShardStep>> wrong = {
      {}, {step(lease, 5), step(lease, 5)}, {ShardStep{0, 1, 9, 5, false}}};
  for (const auto& steps : wrong) {
    EXPECT_EQ(error_of(queue().publish("telemetry", messages({"x"}), progress("a", steps))),
              ErrorCode::kInvalid);
  }
}

// --- all together

// Members come, go, freeze and publish at random; each row of each shard arrives exactly once.
TEST_P(ShardContract, NoRowIsMissingOrDoubledWhateverMembersDo) {
  constexpr std::uint64_t kRows = 12;
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    make();
    std::mt19937 random(seed);
    std::map<std::string, ShardAssignment> known;  // as each member last heard
    std::vector<std::string> rows;
    bool finished = false;
    for (int turn = 0; turn < 3000 && !finished; ++turn) {
      const std::string member(1, static_cast<char>('a' + random() % 3));
      ShardAssignment& has = known[member];
      const auto what = random() % 10;
      if (what == 0) {
        advance(seconds{4 + random() % 14});  // past somebody's lease now and then
      } else if (what == 1) {
        leave(member);
        has = {};
      } else if (what <= 3 || has.held.empty()) {
        has = what == 2 ? give_back_surplus(member) : join(member);
        finished = has.finished;
      } else {
        ShardLease& lease = has.held[random() % has.held.size()];
        if (lease.finished) continue;
        const std::uint64_t to = std::min(kRows, lease.position + 1 + random() % 5);
        std::vector<std::string> read;
        for (std::uint64_t row = lease.position; row < to; ++row) {
          read.push_back(std::to_string(lease.shard) + ":" + std::to_string(row));
        }
        const ShardProgress made = progress(member, {step(lease, to, to == kRows)});
        const auto published = publish_progress(read, made);
        if (random() % 3 == 0) (void)publish_progress(read, made);  // its answer was lost
        if (published) {
          lease.position = to;
          lease.finished = to == kRows;
        } else {
          ASSERT_EQ(published.error().code, ErrorCode::kConflict) << published.error();
          has = {};
        }
      }
      const auto delivered = fetch();
      if (delivered.empty()) continue;
      for (std::string& row : payloads(delivered)) rows.push_back(std::move(row));
      ack(receipts(delivered));
    }
    ASSERT_TRUE(finished) << "seed " << seed;
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows.size(), kShards * kRows) << "seed " << seed;
    EXPECT_TRUE(std::adjacent_find(rows.begin(), rows.end()) == rows.end()) << "seed " << seed;
    under_test_->queue().shut_down();
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue
