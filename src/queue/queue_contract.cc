#include "queue/queue_contract.h"

namespace gpu_telemetry::queue {
namespace {

// --- publishing and fetching

TEST_P(QueueContract, DeliversMessagesOldestFirstWithWhatWasPublished) {
  OutgoingMessage with_headers = message("second");
  with_headers.headers = {{"encoding", "zstd"}, {"empty", ""}};
  const auto published = publish({"first"});
  const auto more = ok(queue().publish("telemetry", {with_headers}));
  const auto deliveries = fetch();
  ASSERT_THAT(payloads(deliveries), ElementsAre("first", "second"));
  EXPECT_EQ(deliveries[0].message_id, published[0].message_id);
  EXPECT_EQ(deliveries[1].message_id, more[0].message_id);
  EXPECT_EQ(deliveries[1].headers, with_headers.headers);
  EXPECT_EQ(deliveries[0].delivery_count, 1U);
  EXPECT_GE(deliveries[0].published, kEarliestTimestamp);
  EXPECT_FALSE(published[0].duplicate);
}

TEST_P(QueueContract, CarriesAnyBytes) {
  std::string bytes;
  for (int i = 0; i < 1024; ++i) bytes.push_back(static_cast<char>(i));
  publish({bytes, std::string(), std::string(1, '\0')});
  EXPECT_THAT(payloads(fetch()), ElementsAre(bytes, std::string(), std::string(1, '\0')));
}

TEST_P(QueueContract, GivesEveryMessageAnIdOfItsOwn) {
  std::set<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    for (const auto& result : publish({"a", "b", "c"})) ids.insert(result.message_id);
    for (const auto& result : publish({"a", "b"}, "other")) ids.insert(result.message_id);
    ack(receipts(fetch()));
  }
  EXPECT_EQ(ids.size(), 25U);
}

TEST_P(QueueContract, FetchesAtMostTheNumberAskedFor) {
  publish({"a", "b", "c"});
  EXPECT_THAT(payloads(fetch(2)), ElementsAre("a", "b"));
  EXPECT_THAT(payloads(fetch(2)), ElementsAre("c"));
  EXPECT_THAT(fetch(2), IsEmpty());
}

TEST_P(QueueContract, KeepsTopicsApart) {
  publish({"a"});
  publish({"b"}, "other");
  EXPECT_THAT(payloads(fetch(9, "collectors", "other")), ElementsAre("b"));
  EXPECT_THAT(payloads(fetch()), ElementsAre("a"));
}

TEST_P(QueueContract, GivesEachMessageToOneOfManyConcurrentConsumers) {
  constexpr int kMessages = 400;
  constexpr int kConsumers = 8;
  constexpr int kPublishers = 4;
  MessageQueue& shared = queue();
  boost::asio::thread_pool pool(4);
  std::mutex mutex;
  std::multiset<std::string> seen;
  std::atomic<int> acked{0};

  auto consume = [&]() -> Async<void> {
    while (acked < kMessages) {
      auto request = QueueContract::request(7, Milliseconds{20});
      const auto found = co_await shared.fetch(std::move(request));
      if (!found) throw std::runtime_error(found.error().message);
      if (found->empty()) continue;
      auto settled = settle(receipts(*found));
      const auto done = co_await shared.ack(std::move(settled));
      if (!done) throw std::runtime_error(done.error().message);
      const std::lock_guard lock(mutex);
      for (const Delivery& delivery : *found) seen.insert(*delivery.payload);
      acked += static_cast<int>(found->size());
      // Time does not pass by itself; the others may wait for what will not come.
      if (acked >= kMessages) shared.shut_down();
    }
  };
  auto consume_until_shut_down = [&]() -> Async<void> {
    try {
      co_await consume();
    } catch (const std::runtime_error&) {
      if (acked < kMessages) throw;
    }
  };
  auto produce = [&](int publisher) -> Async<void> {
    for (int i = publisher; i < kMessages; i += kPublishers) {
      auto batch = messages({std::to_string(i)});
      const auto done = co_await shared.publish("telemetry", std::move(batch));
      if (!done) throw std::runtime_error(done.error().message);
    }
  };
  std::vector<std::future<void>> all;
  for (int i = 0; i < kConsumers; ++i) {
    all.push_back(co_spawn(make_strand(pool), consume_until_shut_down, boost::asio::use_future));
  }
  for (int i = 0; i < kPublishers; ++i) {
    all.push_back(co_spawn(make_strand(pool), produce(i), boost::asio::use_future));
  }
  for (auto& each : all) EXPECT_NO_THROW(each.get());
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kMessages));
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), seen.size());
  under_test_.reset();  // the contexts of its callers outlive a queue
}

// --- groups

TEST_P(QueueContract, GivesEveryMessageToEveryGroup) {
  fetch(1, "one");
  fetch(1, "two");
  publish({"a", "b"});
  EXPECT_THAT(payloads(fetch(9, "one")), ElementsAre("a", "b"));
  const auto second = fetch(9, "two");
  EXPECT_THAT(payloads(second), ElementsAre("a", "b"));
  // One group's ack does not settle the other's lease.
  ack(receipts(second), "two");
  EXPECT_EQ(group_statistics("one").in_flight, 2U);
  EXPECT_EQ(topic_statistics().messages, 2U);
}

TEST_P(QueueContract, FreesAMessageWhenTheLastGroupHasAcked) {
  fetch(1, "one");
  fetch(1, "two");
  publish({"a"});
  ack(receipts(fetch(1, "one")), "one");
  EXPECT_EQ(topic_statistics().messages, 1U);
  EXPECT_EQ(topic_statistics().bytes, 1U);
  ack(receipts(fetch(1, "two")), "two");
  EXPECT_EQ(topic_statistics().messages, 0U);
  EXPECT_EQ(topic_statistics().bytes, 0U);
}

TEST_P(QueueContract, ATopicWithoutAGroupKeepsItsMessages) {
  publish({"a", "b"});
  advance(24h);
  EXPECT_EQ(topic_statistics().messages, 2U);
  EXPECT_THAT(payloads(fetch()), ElementsAre("a", "b"));
}

TEST_P(QueueContract, ANewGroupStartsAtTheOldestMessageStillHeld) {
  fetch(1, "one");
  publish({"a", "b", "c"});
  const auto first = fetch(2, "one");
  ack({first[0].receipt}, "one");
  EXPECT_THAT(payloads(fetch(9, "late")), ElementsAre("b", "c"));
}

TEST_P(QueueContract, ANewGroupDoesNotSeeDeadLettersOfAnother) {
  publish({"dead", "alive"});
  NackOptions kill;
  kill.dead_letter_reason = "bad";
  nack({fetch(1)[0].receipt}, kill);
  EXPECT_THAT(payloads(fetch(9, "late")), ElementsAre("alive"));
  ok(queue().redrive("telemetry", "collectors", {}));
  EXPECT_THAT(fetch(9, "late"), IsEmpty());
  EXPECT_THAT(payloads(fetch()), ElementsAre("dead", "alive"));
}

TEST_P(QueueContract, DeletingAGroupFreesWhatOnlyItHadNotAcked) {
  fetch(1, "one");
  fetch(1, "two");
  publish({"a", "b"});
  ack(receipts(fetch(9, "one")), "one");
  fetch(1, "two");
  EXPECT_TRUE(run(queue().delete_group("telemetry", "two")));
  EXPECT_EQ(topic_statistics().messages, 0U);
  EXPECT_THAT(topic_statistics().groups, SizeIs(1));
}

TEST_P(QueueContract, DeletingTheOnlyGroupKeepsTheMessages) {
  publish({"a", "b"});
  const auto deliveries = fetch();
  ack({deliveries[0].receipt});
  EXPECT_TRUE(run(queue().delete_group("telemetry", "collectors")));
  EXPECT_EQ(topic_statistics().messages, 1U);
  EXPECT_THAT(ack({deliveries[1].receipt}), ElementsAre(Settled::kUnknown));
  const auto again = fetch();
  EXPECT_THAT(payloads(again), ElementsAre("b"));
  // The new group's lease is not the old one's.
  EXPECT_THAT(ack({deliveries[1].receipt}), ElementsAre(Settled::kUnknown));
  EXPECT_THAT(ack({again[0].receipt}), ElementsAre(Settled::kDone));
}

TEST_P(QueueContract, DeletingAnUnknownGroupIsNotFound) {
  publish({"a"});
  EXPECT_EQ(error_of(queue().delete_group("telemetry", "nobody")), ErrorCode::kNotFound);
  EXPECT_EQ(error_of(queue().delete_group("nothing", "nobody")), ErrorCode::kNotFound);
}

TEST_P(QueueContract, RemovesAGroupThatIdledForItsLifetimeUnlessItIsPermanent) {
  QueueOptions options;
  options.permanent_groups = {"forever"};
  make(options);
  fetch(1, "forever");
  fetch(1, "idle");
  fetch(1, "holding");
  publish({"a"});
  ASSERT_THAT(fetch(1, "holding"), SizeIs(1));
  advance(minutes{50});
  fetch(1, "idle");
  advance(minutes{50});
  EXPECT_THAT(topic_statistics().groups, SizeIs(2)) << "a group in use went, or an idle one stayed";
  advance(minutes{61});
  ASSERT_THAT(topic_statistics().groups, SizeIs(1));
  EXPECT_EQ(topic_statistics().groups[0].group, "forever");
  EXPECT_EQ(topic_statistics().messages, 1U);
}

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

// --- deduplication

TEST_P(QueueContract, TheSameIdWithinTheWindowIsTheSameMessage) {
  const auto first = ok(queue().publish("telemetry", {message("a", "id-1")}));
  advance(minutes{4});
  const auto again = ok(queue().publish("telemetry", {message("b"), message("a", "id-1")}));
  EXPECT_FALSE(again[0].duplicate);
  EXPECT_TRUE(again[1].duplicate);
  EXPECT_EQ(again[1].message_id, first[0].message_id);
  ack(receipts(fetch()));
  const auto acked = ok(queue().publish("telemetry", {message("a", "id-1")}));
  EXPECT_TRUE(acked[0].duplicate) << "also when it was acked meanwhile";
  EXPECT_THAT(fetch(), IsEmpty());
  EXPECT_EQ(topic_statistics().deduplicated_total, 2U);
  advance(minutes{1});
  EXPECT_FALSE(ok(queue().publish("telemetry", {message("a", "id-1")}))[0].duplicate);
  EXPECT_THAT(payloads(fetch()), ElementsAre("a"));
}

TEST_P(QueueContract, DeduplicatesWithinOneBatchAndNotAcrossTopics) {
  const auto results = ok(queue().publish(
      "telemetry", {message("a", "id"), message("b", "other"), message("a", "id")}));
  EXPECT_TRUE(results[2].duplicate);
  EXPECT_EQ(results[2].message_id, results[0].message_id);
  EXPECT_FALSE(ok(queue().publish("elsewhere", {message("a", "id")}))[0].duplicate);
  EXPECT_THAT(payloads(fetch()), ElementsAre("a", "b"));
}

// --- back-pressure

TEST_P(QueueContract, RefusesABatchThatWouldPassTheNumberOfMessagesAndAcceptsNothingOfIt) {
  QueueOptions options;
  options.max_messages_per_topic = 3;
  make(options);
  publish({"a", "b"});
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"c", "d"}))), ErrorCode::kFull);
  EXPECT_EQ(topic_statistics().messages, 2U);
  EXPECT_EQ(topic_statistics().rejected_total, 2U);
  publish({"c"});
  publish({"elsewhere", "there is room"}, "other");
  auto deliveries = fetch();
  EXPECT_THAT(payloads(deliveries), ElementsAre("a", "b", "c"));
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"d"}))), ErrorCode::kFull)
      << "leased messages count";
  ack({deliveries[0].receipt});
  publish({"d"});
}

TEST_P(QueueContract, RefusesWhatWouldPassTheBytesOfAllTopics) {
  QueueOptions options;
  options.max_bytes = ByteSize{100};
  options.message_overhead = ByteSize{0};
  make(options);
  publish({std::string(60, 'x')});
  OutgoingMessage large = message(std::string(30, 'y'));
  large.headers = {{"name", "1234567"}};
  EXPECT_EQ(error_of(queue().publish("other", {large})), ErrorCode::kFull);
  publish({std::string(40, 'y')}, "other");
  EXPECT_EQ(error_of(queue().publish("third", messages({"z"}))), ErrorCode::kFull);
  ack(receipts(fetch()));
  publish({std::string(60, 'z')}, "third");
}

TEST_P(QueueContract, DuplicatesNeedNoRoom) {
  QueueOptions options;
  options.max_messages_per_topic = 1;
  make(options);
  ok(queue().publish("telemetry", {message("a", "id")}));
  EXPECT_TRUE(ok(queue().publish("telemetry", {message("a", "id")}))[0].duplicate);
}

// --- waiting

TEST_P(QueueContract, AWaitingFetchIsWokenByAPublish) {
  queue();
  auto waiting = start(queue().fetch(request(10, 30s)));
  EXPECT_FALSE(*waiting);
  publish({"a"});
  EXPECT_THAT(payloads(*finish(waiting)), ElementsAre("a"));
}

TEST_P(QueueContract, AWaitingFetchIsWokenByWhateverMakesAMessageReady) {
  QueueOptions options;
  options.max_retries = 100;
  make(options);
  publish({"a"});
  auto held = fetch();
  const auto woken_by = [&](const char* what, auto act) {
    auto waiting = start(queue().fetch(request(1, 1h)));
    EXPECT_FALSE(*waiting) << what;
    act();
    held = *finish(waiting);
    EXPECT_THAT(payloads(held), ElementsAre("a")) << what;
  };
  woken_by("nack", [&] { nack(receipts(held)); });
  woken_by("expiry", [&] { advance(options.visibility_timeout); });
  woken_by("delay", [&] {
    NackOptions later;
    later.delay = 5s;
    nack(receipts(held), later);
    advance(5s);
  });
  woken_by("redrive", [&] {
    NackOptions kill;
    kill.dead_letter_reason = "bad";
    nack(receipts(held), kill);
    ok(queue().redrive("telemetry", "collectors", {}));
  });
}

TEST_P(QueueContract, AWaitEndsWithoutMessages) {
  fetch();  // the group is there, so that the next one waits from now on
  auto waiting = start(queue().fetch(request(10, 2s)));
  advance(1999ms);
  context_.poll();
  EXPECT_FALSE(*waiting);
  advance(1ms);
  const auto result = finish(waiting);
  ASSERT_TRUE(result) << result.error();
  EXPECT_THAT(*result, IsEmpty());
}

TEST_P(QueueContract, WaitingFetchesShareWhatComes) {
  queue();
  auto first = start(queue().fetch(request(2, 30s)));
  auto second = start(queue().fetch(request(2, 30s)));
  auto third = start(queue().fetch(request(2, 30s)));
  publish({"a", "b", "c", "d", "e"});
  std::multiset<std::string> seen;
  for (auto& each : {first, second, third}) {
    for (const auto& payload : payloads(*finish(each))) seen.insert(payload);
  }
  EXPECT_THAT(seen, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_P(QueueContract, ACancelledFetchLeavesItsMessagesReady) {
  queue();
  auto result = std::make_shared<std::optional<Result<std::vector<Delivery>>>>();
  co_spawn(context_, keep(queue().fetch(request(1, 30s)), result),
           bind_cancellation_slot(stop_.slot(), boost::asio::detached));
  context_.restart();
  context_.poll();
  under_test_->settle_down();
  stop_.emit(boost::asio::cancellation_type::terminal);
  context_.poll();
  publish({"a"});
  EXPECT_THAT(payloads(fetch()), ElementsAre("a"));
}

TEST_P(QueueContract, AFetchCancelledAfterItWasWokenPassesItsMessagesOn) {
  queue();
  auto result = std::make_shared<std::optional<Result<std::vector<Delivery>>>>();
  co_spawn(context_, keep(queue().fetch(request(1, 30s)), result),
           bind_cancellation_slot(stop_.slot(), boost::asio::detached));
  context_.restart();
  context_.poll();
  auto next = start(queue().fetch(request(1, 30s)));
  // Published from elsewhere, so that the first fetch is woken but has not run yet.
  boost::asio::io_context elsewhere;
  auto published =
      co_spawn(elsewhere, queue().publish("telemetry", messages({"a"})), boost::asio::use_future);
  elsewhere.run();
  ASSERT_TRUE(published.get());
  stop_.emit(boost::asio::cancellation_type::terminal);
  context_.restart();
  while (!*next && !(*result && *result && (**result) && !(**result)->empty())) context_.run_one();
  const bool first_has_it = *result && **result && !(**result)->empty();
  EXPECT_TRUE(first_has_it || *next) << "nobody was given the message";
}

TEST_P(QueueContract, ShuttingDownEndsWaitsAndRefusesWhatComesAfter) {
  publish({"a"});
  ack(receipts(fetch()));
  auto waiting = start(queue().fetch(request(10, 30s)));
  queue().shut_down();
  const auto result = finish(waiting);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"b"}))), ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(queue().fetch(request(1))), ErrorCode::kUnavailable);
  queue().shut_down();
}

// --- limits on input

TEST_P(QueueContract, RejectsInvalidNames) {
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("a/b"), std::string("a\0b", 3),
        std::string("\xc3\xa9"), std::string(kMaxNameSize + 1, 'a'), std::string("a:b")}) {
    EXPECT_EQ(error_of(queue().publish(name, messages({"x"}))), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().fetch(request(1, 0ms, "g", name))), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().fetch(request(1, 0ms, name))), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().ack(settle({"r"}, name))), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().dead_letters(name, "g", 1)), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().redrive(name, "g", {})), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().purge("t", name, {})), ErrorCode::kInvalid) << name;
    EXPECT_EQ(error_of(queue().delete_group("t", name)), ErrorCode::kInvalid) << name;
  }
  const std::string longest = "A.z_0-9" + std::string(kMaxNameSize - 7, 'a');
  publish({"x"}, longest);
  EXPECT_THAT(fetch(1, longest, longest), SizeIs(1));
}

TEST_P(QueueContract, RejectsWhatIsTooLargeTooManyOrNone) {
  QueueOptions options;
  options.max_message_size = ByteSize{10};
  make(options);
  EXPECT_EQ(error_of(queue().publish("telemetry", {})), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().publish("telemetry", {OutgoingMessage{}})), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().publish("telemetry", messages({"ok", "12345678901"}))),
            ErrorCode::kInvalid);
  OutgoingMessage with_header = message("12345");
  with_header.headers = {{"abc", "def"}};
  EXPECT_EQ(error_of(queue().publish("telemetry", {with_header})), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().publish(
                "telemetry", {message("a", std::string(kMaxDeduplicationIdSize + 1, 'i'))})),
            ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().fetch(request(0))), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().fetch(request(kMaxBatch + 1))), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().fetch(request(1, -1ms))), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().ack(settle({}))), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().extend(settle({"r"}), -1ms)), ErrorCode::kInvalid);
  EXPECT_EQ(error_of(queue().extend(settle({"r"}), kMaxDelay + 1ms)), ErrorCode::kInvalid);
  NackOptions both;
  both.release = true;
  both.delay = 1s;
  EXPECT_EQ(error_of(queue().nack(settle({"r"}), both)), ErrorCode::kInvalid);
  publish({"1234567890"});
}

TEST_P(QueueContract, RefusesATopicPastTheHundredth) {
  for (std::size_t i = 0; i < kMaxTopics; ++i) publish({"x"}, "topic-" + std::to_string(i));
  EXPECT_EQ(error_of(queue().publish("one-more", messages({"x"}))), ErrorCode::kFull);
  publish({"x"}, "topic-0");
}

// --- statistics

TEST_P(QueueContract, CountsWhatHappens) {
  fetch();
  publish({"a", "b", "c", "dd"});
  const auto deliveries = fetch(3);
  ack({deliveries[0].receipt});
  NackOptions later;
  later.delay = 1min;
  nack({deliveries[1].receipt}, later);
  advance(2s);
  const auto topic = topic_statistics();
  EXPECT_EQ(topic.messages, 3U);
  EXPECT_EQ(topic.bytes, 4U);
  EXPECT_EQ(topic.published_total, 4U);
  const auto group = group_statistics();
  EXPECT_EQ(group.ready, 1U);
  EXPECT_EQ(group.in_flight, 1U);
  EXPECT_EQ(group.delayed, 1U);
  EXPECT_EQ(group.dead, 0U);
  EXPECT_EQ(group.delivered_total, 3U);
  EXPECT_EQ(group.acked_total, 1U);
  EXPECT_EQ(group.nacked_total, 1U);
  EXPECT_EQ(group.consumers, 1U);
  EXPECT_GE(group.oldest_age, 2s);
  advance(1min);
  EXPECT_EQ(group_statistics().consumers, 0U);
  ack(receipts(fetch()));
  ack({deliveries[2].receipt});
  EXPECT_EQ(group_statistics().oldest_age, 0ms);
}

}  // namespace
}  // namespace gpu_telemetry::queue
