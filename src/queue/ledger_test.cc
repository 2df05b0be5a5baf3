#include "queue/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "queue/ledger_model.h"
#include "queue/receipt.h"
#include "queue/sequence_table.h"

namespace gpu_telemetry::queue {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LedgerTest : public ::testing::Test {
 protected:
  static OutgoingMessage message(std::string payload) {
    OutgoingMessage outgoing;
    outgoing.payload = std::make_shared<const std::string>(std::move(payload));
    return outgoing;
  }
  static FetchRequest request(std::size_t max) {
    FetchRequest made;
    made.topic = "t";
    made.group = "g";
    made.max_messages = max;
    return made;
  }
  void pass(std::chrono::milliseconds by) {
    now.steady += by;
    now.wall += by;
  }
  Now now{from_unix_milliseconds(1'760'000'000'000), SteadyTime{hours{1}}};
  Ledger ledger{QueueOptions{}, LedgerIdentity{random_epoch(), 0}};
};

TEST_F(LedgerTest, AReceiptOfAnotherLedgerSettlesNothing) {
  Ledger before(QueueOptions{}, LedgerIdentity{random_epoch(), 0});
  for (Ledger* each : {&before, &ledger}) ASSERT_TRUE(each->publish(now, "t", {message("a")}));
  const auto old = before.fetch(now, request(1));
  const auto current = ledger.fetch(now, request(1));
  EXPECT_NE(old->at(0).message_id, current->at(0).message_id);
  EXPECT_THAT(*ledger.ack(now, {"t", "g", {old->at(0).receipt, old->at(0).message_id}}),
              ElementsAre(Settled::kUnknown, Settled::kUnknown));
}

TEST_F(LedgerTest, WhatItTakesToKeepAMessageCountsIntoTheRoomToo) {
  QueueOptions options;
  options.max_bytes = ByteSize{100};
  options.message_overhead = ByteSize{40};
  Ledger small(options, LedgerIdentity{random_epoch(), 0});
  ASSERT_TRUE(small.publish(now, "t", {message("12345"), message("12345")}));
  EXPECT_EQ(small.publish(now, "t", {message("")}).error().code, ErrorCode::kFull);
  ASSERT_TRUE(small.ack(now, {"t", "g", {small.fetch(now, request(1))->at(0).receipt}}));
  EXPECT_TRUE(small.publish(now, "t", {message("")}));
}

TEST_F(LedgerTest, AnAckAfterTheLeaseRanOutCountsAsLongAsNobodyElseHasTheMessage) {
  ASSERT_TRUE(ledger.publish(now, "t", {message("a"), message("b")}));
  const auto deliveries = *ledger.fetch(now, request(2));
  pass(minutes{6});
  EXPECT_THAT(*ledger.extend(now, {"t", "g", {deliveries[0].receipt}}, seconds{1}),
              ElementsAre(Settled::kUnknown));
  EXPECT_THAT(*ledger.ack(now, {"t", "g", {deliveries[0].message_id, deliveries[0].receipt}}),
              ElementsAre(Settled::kUnknown, Settled::kDone));
  EXPECT_EQ(ledger.ready("t", "g"), 1U);
}

TEST_F(LedgerTest, TellsTheEarliestDeadline) {
  EXPECT_EQ(ledger.tick(now), std::nullopt);
  ASSERT_TRUE(ledger.publish(now, "t", {message("a"), message("b")}));
  const auto deliveries = *ledger.fetch(now, request(2));
  EXPECT_EQ(ledger.next_deadline(), now.steady + minutes{5});
  ASSERT_TRUE(ledger.extend(now, {"t", "g", {deliveries[0].receipt}}, seconds{7}));
  EXPECT_EQ(ledger.next_deadline(), now.steady + seconds{7});
  ASSERT_TRUE(ledger.ack(now, {"t", "g", {deliveries[0].receipt}}));
  EXPECT_EQ(ledger.tick(now), now.steady + minutes{5});
  pass(minutes{5});
  ledger.tick(now);
  EXPECT_EQ(ledger.ready("t", "g"), 1U);
}

TEST_F(LedgerTest, RemovesAnIdleEmptyTopicAndNeverGivesItsIdsOutAgain) {
  const auto first = *ledger.publish(now, "t", {message("a")});
  ASSERT_TRUE(ledger.ack(now, {"t", "g", {ledger.fetch(now, request(1))->at(0).receipt}}));
  for (int i = 0; i < 3; ++i) {
    pass(hours{2});
    ledger.tick(now);
  }
  EXPECT_THAT(ledger.statistics(now), IsEmpty());
  const auto second = *ledger.publish(now, "another", {message("a")});
  EXPECT_LT(first[0].message_id, second[0].message_id);
}

TEST_F(LedgerTest, ShowsAcceptedMessagesOnlyWhenTheyAreCommitted) {
  ASSERT_THAT(*ledger.fetch(now, request(1)), IsEmpty());
  const auto kept = *ledger.accept(now, "t", {message("a"), message("b")});
  const auto lost = *ledger.accept(now, "t", {message("c")});
  EXPECT_EQ(ledger.statistics(now)[0].messages, 3U) << "they count as soon as they are accepted";
  EXPECT_EQ(ledger.ready("t", "g"), 0U);
  FetchRequest late = request(9);
  late.group = "late";
  EXPECT_THAT(*ledger.fetch(now, late), IsEmpty());
  ledger.commit(kept);
  ledger.withdraw(lost);
  EXPECT_EQ(ledger.ready("t", "g"), 2U);
  EXPECT_EQ(ledger.ready("t", "late"), 2U);
  ASSERT_TRUE(ledger.publish(now, "t", {message("d")}));
  EXPECT_EQ(ledger.fetch(now, request(9))->size(), 3U);
  EXPECT_EQ(ledger.statistics(now)[0].messages, 3U);
}

TEST_F(LedgerTest, AgreesWithASimpleModelOnRandomOperations) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    int left = 12'000;
    const auto difference =
        find_difference([&](std::uint32_t bound) -> std::optional<std::uint32_t> {
          if (--left < 0) return std::nullopt;
          return random() % bound;
        });
    ASSERT_EQ(difference, std::nullopt) << "seed " << seed << " after " << 12'000 - left;
  }
}

TEST(LedgerReplayTest, ADamagedLogLeavesALedgerThatItsCheckpointCanCarry) {
  const Now now{from_unix_milliseconds(1'760'000'000'000), SteadyTime{std::chrono::hours{1}}};
  Ledger ledger(QueueOptions{}, {1, 1});
  ledger.replay_topic_created(now, 0, "begins-with-nothing", 0);
  ledger.replay_topic_created(now, 1, "telemetry", 1);
  HeldMessage message;
  message.sequence = 1;
  message.payload = std::make_shared<const std::string>("x");
  message.published = from_unix_milliseconds(INT64_MAX / 4);  // a time that cannot be counted with
  ledger.replay_accepted(now, 1, message, "id");
  ledger.finish_replay({1, 2}, nullptr);
  const std::string checkpoint = ledger.checkpoint(now);
  auto again = Ledger::restore(QueueOptions{}, checkpoint, now, ledger);
  ASSERT_TRUE(again) << again.error();
  EXPECT_EQ(again->checkpoint(now), checkpoint);
  EXPECT_EQ(again->statistics(now).size(), 1U);
}

TEST(LedgerReplayTest, ADamagedSequenceThatNoReceiptCanNameIsRefused) {
  const Now now{from_unix_milliseconds(1'760'000'000'000), SteadyTime{std::chrono::hours{1}}};
  Ledger ledger(QueueOptions{}, {1, 1});
  ledger.replay_topic_created(now, 0, "begins-too-late", 1ULL << 54);
  ledger.replay_topic_created(now, 1, "telemetry", 1);
  HeldMessage message;
  message.payload = std::make_shared<const std::string>("x");
  message.sequence = (1ULL << 63) - 12;
  ledger.replay_accepted(now, 1, message, "");
  message.sequence = kMaxStoredSequence;
  ledger.replay_accepted(now, 1, message, "");
  ledger.finish_replay({1, 2}, nullptr);
  ASSERT_EQ(ledger.statistics(now).size(), 1U);
  FetchRequest fetch{"telemetry", "g", "", 10, {}};
  const auto found = *ledger.fetch(now, fetch);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(*ledger.ack(now, {"telemetry", "g", {found[0].receipt}}),
              ElementsAre(Settled::kDone));
}

TEST(LedgerModelTest, AgreesThatALeaseExtendedByNothingIsOver) {
  // Publish one message, fetch it, extend its lease by 0 ms.
  const std::vector<std::uint32_t> choices = {0, 0, 3, 1, 4, 0, 0, 1, 12, 0, 0, 1, 0, 0};
  std::size_t at = 0;
  const auto difference = find_difference([&](std::uint32_t) -> std::optional<std::uint32_t> {
    if (at == choices.size()) return std::nullopt;
    return choices[at++];
  });
  EXPECT_EQ(difference, std::nullopt);
  EXPECT_EQ(at, choices.size());
}

TEST(ReceiptTest, ReadsBackWhatItWrote) {
  const MessageKey key{(1ULL << 48) - 1, 99, (1ULL << 54) - 1};
  const std::string id = format_message_id(key);
  EXPECT_EQ(id.size(), kMessageIdSize);
  EXPECT_EQ(parse_receipt(id)->message, key);
  EXPECT_EQ(parse_receipt(id)->stamp, std::nullopt);
  const std::string receipt = format_receipt(key, UINT64_MAX);
  EXPECT_EQ(receipt.size(), kReceiptSize);
  EXPECT_EQ(parse_receipt(receipt)->stamp, UINT64_MAX);
  EXPECT_EQ(parse_receipt(id + "+"), std::nullopt);
  EXPECT_EQ(parse_receipt(""), std::nullopt);
  EXPECT_EQ(parse_receipt(std::string(kReceiptSize, 'z')), std::nullopt) << "more than 64 bits";
  EXPECT_LT(format_message_id({7, 3, 63}), format_message_id({7, 3, 64}));
}

struct Numbered {
  std::uint64_t sequence = 0;
  bool removed = false;
};

TEST(SequenceTableTest, StaysSmallHoweverLongOneStaysBehind) {
  SequenceTable<Numbered> table;
  table.push_back({1, false});
  for (std::uint64_t sequence = 2; sequence < 100'000; ++sequence) {
    table.push_back({sequence, false});
    if (sequence > 11) table.erase(*table.find(sequence - 10));
    ASSERT_LE(table.end() - table.begin(), 130);
  }
  EXPECT_EQ(table.size(), 11U);
  EXPECT_NE(table.find(1), nullptr);
  EXPECT_EQ(table.find(2), nullptr);
  EXPECT_NE(table.find(99'999), nullptr);
  EXPECT_EQ(table.find(100'000), nullptr);
}

}  // namespace
}  // namespace gpu_telemetry::queue
