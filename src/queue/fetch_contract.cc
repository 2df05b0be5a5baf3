// What every queue does for groups and for those who wait, as tests.
#include "queue/queue_contract.h"

namespace gpu_telemetry::queue {
namespace {

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

}  // namespace
}  // namespace gpu_telemetry::queue
