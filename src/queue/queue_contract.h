// What every MessageQueue does, whatever is behind it, as tests (publish_, fetch_ and
// settle_contract.cc). A test executable links queue_contract and instantiates the suite with its
// engines:
//
//     INSTANTIATE_TEST_SUITE_P(Memory, QueueContract, ::testing::Values(&make_memory_under_test));
//
// An engine is one whose time can be moved. The tests use nothing but the interface and `advance`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

// An engine, empty, and its time.
class QueueUnderTest {
 public:
  virtual ~QueueUnderTest() = default;
  virtual MessageQueue& queue() = 0;
  // Moves the engine's time and lets it handle what is due by then.
  virtual void advance(std::chrono::milliseconds by) = 0;
  // Returns when fetches that were started wait in the engine.
  virtual void settle_down() {}
};

// `executor` belongs to a context that outlives the engine and that the test runs.
using MakeQueueUnderTest = std::unique_ptr<QueueUnderTest> (*)(
    QueueOptions options, boost::asio::any_io_executor executor);

class QueueContract : public ::testing::TestWithParam<MakeQueueUnderTest> {
 protected:
  using Milliseconds = std::chrono::milliseconds;

  // A coroutine that was started and may not be done.
  template <class T>
  using Pending = std::shared_ptr<std::optional<T>>;

  ~QueueContract() override {
    if (under_test_) under_test_->queue().shut_down();
    while (context_.poll() > 0) {
    }
  }

  void make(QueueOptions options = {}) {
    under_test_ = GetParam()(std::move(options), context_.get_executor());
  }
  MessageQueue& queue() {
    if (!under_test_) make();
    return under_test_->queue();
  }
  void advance(Milliseconds by) { under_test_->advance(by); }

  template <class T>
  static Async<void> keep(Async<T> work, Pending<T> result) {
    result->emplace(co_await std::move(work));
  }
  template <class T>
  Pending<T> start(Async<T> work) {
    auto result = std::make_shared<std::optional<T>>();
    boost::asio::co_spawn(context_, keep(std::move(work), result), boost::asio::detached);
    context_.restart();
    context_.poll();
    return result;
  }
  template <class T>
  T finish(Pending<T> pending) {
    context_.restart();
    while (!*pending) context_.run_one();
    return std::move(**pending);
  }
  template <class T>
  T run(Async<T> work) {
    return finish(start(std::move(work)));
  }
  // What a successful call returned.
  template <class T>
  T ok(Async<Result<T>> work) {
    Result<T> result = run(std::move(work));
    if (!result) {
      ADD_FAILURE() << result.error();
      return T{};
    }
    return std::move(*result);
  }
  template <class T>
  ErrorCode error_of(Async<Result<T>> work) {
    Result<T> result = run(std::move(work));
    if (result) {
      ADD_FAILURE() << "succeeded, and should not have";
      return ErrorCode::kInternal;
    }
    EXPECT_FALSE(result.error().message.empty());
    return result.error().code;
  }

  static OutgoingMessage message(std::string payload, std::string id = {}) {
    OutgoingMessage outgoing;
    outgoing.payload = std::make_shared<const std::string>(std::move(payload));
    outgoing.deduplication_id = std::move(id);
    return outgoing;
  }
  static std::vector<OutgoingMessage> messages(std::vector<std::string> payloads) {
    std::vector<OutgoingMessage> all;
    for (auto& payload : payloads) all.push_back(message(std::move(payload)));
    return all;
  }
  std::vector<PublishResult> publish(std::vector<std::string> payloads,
                                     std::string topic = "telemetry") {
    return ok(queue().publish(std::move(topic), messages(std::move(payloads))));
  }
  static FetchRequest request(std::size_t max, Milliseconds wait = Milliseconds{0},
                              std::string group = "collectors", std::string topic = "telemetry") {
    FetchRequest made;
    made.topic = std::move(topic);
    made.group = std::move(group);
    made.consumer = "consumer";
    made.max_messages = max;
    made.wait = wait;
    return made;
  }
  std::vector<Delivery> fetch(std::size_t max = 100, std::string group = "collectors",
                              std::string topic = "telemetry") {
    return ok(queue().fetch(request(max, Milliseconds{0}, std::move(group), std::move(topic))));
  }
  static SettleRequest settle(std::vector<std::string> receipts, std::string group = "collectors") {
    SettleRequest made;
    made.topic = "telemetry";
    made.group = std::move(group);
    made.receipts_or_ids = std::move(receipts);
    return made;
  }
  std::vector<Settled> ack(std::vector<std::string> receipts, std::string group = "collectors") {
    return ok(queue().ack(settle(std::move(receipts), std::move(group))));
  }
  std::vector<Settled> nack(std::vector<std::string> receipts, NackOptions options = {}) {
    return ok(queue().nack(settle(std::move(receipts)), std::move(options)));
  }
  std::vector<Settled> extend(std::vector<std::string> receipts, Milliseconds visibility) {
    return ok(queue().extend(settle(std::move(receipts)), visibility));
  }
  static std::vector<std::string> payloads(const std::vector<Delivery>& deliveries) {
    std::vector<std::string> all;
    for (const Delivery& delivery : deliveries) all.push_back(*delivery.payload);
    return all;
  }
  static std::vector<std::string> receipts(const std::vector<Delivery>& deliveries) {
    std::vector<std::string> all;
    for (const Delivery& delivery : deliveries) all.push_back(delivery.receipt);
    return all;
  }
  std::vector<DeadLetter> dead_letters(std::string group = "collectors") {
    return ok(queue().dead_letters("telemetry", std::move(group), 1000));
  }
  TopicStatistics topic_statistics() {
    for (auto& topic : ok(queue().statistics())) {
      if (topic.topic == "telemetry") return topic;
    }
    ADD_FAILURE() << "no topic in the statistics";
    return {};
  }
  GroupStatistics group_statistics(const std::string& group = "collectors") {
    for (auto& each : topic_statistics().groups) {
      if (each.group == group) return each;
    }
    ADD_FAILURE() << "no group in the statistics";
    return {};
  }
  // Fetches and lets the lease run out, as often as the message may be delivered.
  void kill_by_expiry(const QueueOptions& options) {
    for (std::uint32_t i = 0; i <= options.max_retries; ++i) {
      ASSERT_EQ(fetch().size(), 1U);
      advance(options.visibility_timeout);
    }
  }

  // Outlives the context: Asio emits by posting.
  boost::asio::cancellation_signal stop_;
  boost::asio::io_context context_;
  std::unique_ptr<QueueUnderTest> under_test_;
};

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using namespace std::chrono_literals;

}  // namespace gpu_telemetry::queue
