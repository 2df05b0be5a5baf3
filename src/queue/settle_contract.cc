// What every queue does with deliveries that are settled, and that are not, as tests.
#include "queue/queue_contract.h"

namespace gpu_telemetry::queue {
namespace {

// --- settling

TEST_P(QueueContract, AnAckEndsAMessage) {
  publish({"a"});
  const auto deliveries = fetch();
  EXPECT_THAT(ack(receipts(deliveries)), ElementsAre(Settled::kDone));
  EXPECT_THAT(ack(receipts(deliveries)), ElementsAre(Settled::kUnknown));
  advance(24h);
  EXPECT_THAT(fetch(), IsEmpty());
}

TEST_P(QueueContract, AnswersForEachEntryInOrder) {
  publish({"a", "b", "c"});
  const auto deliveries = fetch();
  EXPECT_THAT(ack({deliveries[1].receipt, "no receipt", deliveries[0].receipt,
                   deliveries[1].receipt, std::string(31, 'x'), std::string()}),
              ElementsAre(Settled::kDone, Settled::kUnknown, Settled::kDone, Settled::kUnknown,
                          Settled::kUnknown, Settled::kUnknown));
  EXPECT_THAT(extend({"nothing", deliveries[2].receipt}, 1min),
              ElementsAre(Settled::kUnknown, Settled::kDone));
  EXPECT_THAT(nack({"nothing", deliveries[2].receipt}),
              ElementsAre(Settled::kUnknown, Settled::kDone));
}

TEST_P(QueueContract, SettlesNothingOfAnUnknownTopicOrGroup) {
  publish({"a"});
  const auto deliveries = fetch();
  EXPECT_THAT(ack(receipts(deliveries), "others"), ElementsAre(Settled::kUnknown));
  SettleRequest elsewhere = settle(receipts(deliveries));
  elsewhere.topic = "elsewhere";
  EXPECT_THAT(ok(queue().ack(elsewhere)), ElementsAre(Settled::kUnknown));
  EXPECT_EQ(group_statistics().in_flight, 1U);
}

TEST_P(QueueContract, AMessageIdAloneSettlesTheCurrentLease) {
  QueueOptions options;
  make(options);
  publish({"a", "b"});
  fetch(1);
  advance(options.visibility_timeout);
  const auto again = fetch(2);
  ASSERT_THAT(payloads(again), ElementsAre("a", "b"));
  EXPECT_THAT(ack({again[0].message_id}), ElementsAre(Settled::kDone));
  EXPECT_THAT(nack({again[1].message_id}), ElementsAre(Settled::kDone));
  EXPECT_THAT(ack({again[1].message_id}), ElementsAre(Settled::kUnknown)) << "nothing is leased";
}

TEST_P(QueueContract, ALateAckCannotSettleARedelivery) {
  QueueOptions options;
  make(options);
  publish({"a"});
  const auto first = fetch();
  advance(options.visibility_timeout);
  const auto second = fetch();
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_NE(first[0].receipt, second[0].receipt);
  EXPECT_EQ(first[0].message_id, second[0].message_id);
  EXPECT_THAT(ack(receipts(first)), ElementsAre(Settled::kUnknown));
  EXPECT_THAT(nack(receipts(first)), ElementsAre(Settled::kUnknown));
  EXPECT_THAT(extend(receipts(first), 1min), ElementsAre(Settled::kUnknown));
  EXPECT_THAT(ack(receipts(second)), ElementsAre(Settled::kDone));
}

TEST_P(QueueContract, AnAckAfterANackSettlesNothing) {
  publish({"a"});
  const auto deliveries = fetch();
  nack(receipts(deliveries));
  EXPECT_THAT(ack(receipts(deliveries)), ElementsAre(Settled::kUnknown));
  EXPECT_THAT(payloads(fetch()), ElementsAre("a"));
}

TEST_P(QueueContract, ALeaseThatRunsOutMakesTheMessageReadyAgain) {
  QueueOptions options;
  options.visibility_timeout = 30s;
  make(options);
  publish({"a", "b"});
  fetch(1);
  advance(29s);
  EXPECT_THAT(payloads(fetch()), ElementsAre("b"));
  advance(1s);
  const auto again = fetch();
  ASSERT_THAT(payloads(again), ElementsAre("a"));
  EXPECT_EQ(again[0].delivery_count, 2U);
  EXPECT_EQ(group_statistics().expired_total, 1U);
}

TEST_P(QueueContract, AnExtensionPutsTheDeadlineOffAndKeepsTheReceipt) {
  QueueOptions options;
  options.visibility_timeout = 30s;
  make(options);
  publish({"a"});
  const auto deliveries = fetch();
  advance(20s);
  EXPECT_THAT(extend(receipts(deliveries), 60s), ElementsAre(Settled::kDone));
  advance(59s);
  EXPECT_THAT(fetch(), IsEmpty());
  EXPECT_THAT(ack(receipts(deliveries)), ElementsAre(Settled::kDone));
}

TEST_P(QueueContract, AnExtensionMayBringTheDeadlineForward) {
  publish({"a"});
  const auto deliveries = fetch();
  extend(receipts(deliveries), 1s);
  advance(1s);
  EXPECT_THAT(payloads(fetch()), ElementsAre("a"));
}

TEST_P(QueueContract, ANackMakesTheMessageReadyAtOnce) {
  publish({"a", "b"});
  nack({fetch(1)[0].receipt});
  const auto again = fetch();
  ASSERT_THAT(payloads(again), ElementsAre("a", "b"));
  EXPECT_EQ(again[0].delivery_count, 2U);
  EXPECT_EQ(group_statistics().nacked_total, 1U);
  EXPECT_EQ(group_statistics().redelivered_total, 1U);
}

TEST_P(QueueContract, ANackWithADelayHoldsTheMessageBack) {
  publish({"a"});
  NackOptions later;
  later.delay = 10s;
  nack(receipts(fetch()), later);
  EXPECT_EQ(group_statistics().delayed, 1U);
  EXPECT_THAT(fetch(), IsEmpty());
  advance(9s);
  EXPECT_THAT(fetch(), IsEmpty());
  advance(1s);
  EXPECT_THAT(payloads(fetch()), ElementsAre("a"));
}

TEST_P(QueueContract, AReleaseIsNotARetryAndItsReceiptIsSpent) {
  QueueOptions options;
  options.max_retries = 0;
  make(options);
  publish({"a"});
  NackOptions release;
  release.release = true;
  std::vector<Delivery> before;
  for (int i = 0; i < 5; ++i) {
    const auto deliveries = fetch();
    ASSERT_THAT(deliveries, SizeIs(1));
    EXPECT_EQ(deliveries[0].delivery_count, 1U);
    if (!before.empty()) {
      EXPECT_THAT(ack(receipts(before)), ElementsAre(Settled::kUnknown));
    }
    EXPECT_THAT(nack(receipts(deliveries), release), ElementsAre(Settled::kDone));
    before = deliveries;
  }
  EXPECT_THAT(dead_letters(), IsEmpty());
  EXPECT_EQ(group_statistics().ready, 1U);
}

// --- dead letters

TEST_P(QueueContract, AMessageDiesAfterItsLastRetryAndNotBefore) {
  QueueOptions options;
  options.max_retries = 2;
  make(options);
  publish({"a"});
  for (std::uint32_t count = 1; count <= 3; ++count) {
    const auto deliveries = fetch();
    ASSERT_THAT(deliveries, SizeIs(1));
    EXPECT_EQ(deliveries[0].delivery_count, count);
    EXPECT_THAT(dead_letters(), IsEmpty());
    if (count % 2 == 1) {
      nack(receipts(deliveries));
    } else {
      advance(options.visibility_timeout);
    }
  }
  EXPECT_THAT(fetch(), IsEmpty());
  const auto letters = dead_letters();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(*letters[0].payload, "a");
  EXPECT_EQ(letters[0].delivery_count, 3U);
  EXPECT_FALSE(letters[0].reason.empty());
  EXPECT_GE(letters[0].died, letters[0].published);
  EXPECT_EQ(group_statistics().dead, 1U);
  EXPECT_EQ(group_statistics().dead_total, 1U);
  EXPECT_EQ(topic_statistics().messages, 0U) << "a dead letter counts against no limit";
}

TEST_P(QueueContract, ANackMayKillAtOnceAndSaysWhy) {
  OutgoingMessage outgoing = message("a");
  outgoing.headers = {{"from", "node-1"}};
  const auto published = ok(queue().publish("telemetry", {outgoing}));
  NackOptions kill;
  kill.dead_letter_reason = "not a batch: bad magic";
  nack(receipts(fetch()), kill);
  const auto letters = dead_letters();
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].reason, "not a batch: bad magic");
  EXPECT_EQ(letters[0].message_id, published[0].message_id);
  EXPECT_EQ(letters[0].headers, outgoing.headers);
  EXPECT_EQ(letters[0].delivery_count, 1U);
}

TEST_P(QueueContract, ADeadLetterIsDeadInItsGroupOnly) {
  fetch(1, "one");
  fetch(1, "collectors");
  publish({"a"});
  NackOptions kill;
  kill.dead_letter_reason = "bad";
  nack(receipts(fetch()), kill);
  EXPECT_THAT(dead_letters("one"), IsEmpty());
  EXPECT_THAT(payloads(fetch(1, "one")), ElementsAre("a"));
}

TEST_P(QueueContract, RedrivesWithTheCountAtZero) {
  QueueOptions options;
  options.max_retries = 1;
  make(options);
  publish({"a"});
  kill_by_expiry(options);
  ASSERT_THAT(dead_letters(), SizeIs(1));
  EXPECT_EQ(ok(queue().redrive("telemetry", "collectors", {})), 1U);
  EXPECT_THAT(dead_letters(), IsEmpty());
  EXPECT_EQ(topic_statistics().messages, 1U);
  const auto again = fetch();
  ASSERT_THAT(payloads(again), ElementsAre("a"));
  EXPECT_EQ(again[0].delivery_count, 1U);
  nack(receipts(again));
  EXPECT_THAT(payloads(fetch()), ElementsAre("a")) << "it has all its retries again";
}

TEST_P(QueueContract, RedrivesAndPurgesTheLettersNamed) {
  const auto published = publish({"a", "b", "c", "d"});
  NackOptions kill;
  kill.dead_letter_reason = "bad";
  nack(receipts(fetch()), kill);
  EXPECT_EQ(ok(queue().redrive("telemetry", "collectors",
                               {published[2].message_id, "unknown", published[2].message_id})),
            1U);
  EXPECT_EQ(ok(queue().purge("telemetry", "collectors", {published[0].message_id})), 1U);
  EXPECT_THAT(payloads(fetch()), ElementsAre("c"));
  EXPECT_THAT(dead_letters(), SizeIs(2));
  EXPECT_THAT(ok(queue().dead_letters("telemetry", "collectors", 1)), SizeIs(1));
  EXPECT_EQ(ok(queue().purge("telemetry", "collectors", {})), 2U);
  EXPECT_THAT(dead_letters(), IsEmpty());
  EXPECT_EQ(ok(queue().purge("telemetry", "collectors", {})), 0U);
  EXPECT_EQ(ok(queue().redrive("telemetry", "nobody", {})), 0U);
}

TEST_P(QueueContract, DropsTheOldestDeadLetterPastTheLimit) {
  QueueOptions options;
  options.max_dead_letters = 2;
  make(options);
  NackOptions kill;
  kill.dead_letter_reason = "bad";
  for (const char* payload : {"a", "b", "c"}) {
    publish({payload});
    nack(receipts(fetch()), kill);
  }
  const auto letters = dead_letters();
  ASSERT_THAT(letters, SizeIs(2));
  EXPECT_EQ(*letters[0].payload, "b");
  EXPECT_EQ(*letters[1].payload, "c");
  EXPECT_EQ(group_statistics().dead_dropped_total, 1U);
}

}  // namespace
}  // namespace gpu_telemetry::queue
