// What every queue does with what is published, as tests.
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
