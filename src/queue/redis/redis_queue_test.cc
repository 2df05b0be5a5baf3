// What the Redis engine does beyond the contract: several processes on one Redis, connections and
// servers that die, settings that lose data.
#include "queue/redis/redis_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "concurrency/cancellable_task.h"
#include "domain/clock.h"
#include "queue/redis/redis_test_server.h"
#include "tls/test_certificates.h"

namespace gpu_telemetry::queue {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<std::string> kSafe = {"--appendonly", "yes", "--appendfsync", "always"};

// A thread that runs coroutines and connections.
class Runner {
 public:
  ~Runner() {
    work_.reset();
    thread_.join();
  }
  template <class T>
  std::future<T> start(Async<T> work) {
    return co_spawn(io_, std::move(work), boost::asio::use_future);
  }
  template <class T>
  T run(Async<T> work) {
    return start(std::move(work)).get();
  }
  boost::asio::io_context& io() { return io_; }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_{[this] { io_.run(); }};
};

std::unique_ptr<RedisQueue> open(Runner& runner, const RedisServer& server,
                                 QueueOptions queue = {}) {
  RedisQueueOptions options;
  options.queue = std::move(queue);
  options.server = server;
  return *make_redis_queue(std::move(options), system_clock(), runner.io().get_executor());
}

std::vector<OutgoingMessage> messages(const std::vector<std::string>& payloads, bool with_ids) {
  std::vector<OutgoingMessage> all;
  for (const std::string& payload : payloads) {
    OutgoingMessage& message = all.emplace_back();
    message.payload = std::make_shared<const std::string>(payload);
    if (with_ids) message.deduplication_id = payload;
  }
  return all;
}

FetchRequest request(std::size_t max, std::chrono::milliseconds wait) {
  FetchRequest made;
  made.topic = "telemetry";
  made.group = "collectors";
  made.consumer = "consumer";
  made.max_messages = max;
  made.wait = wait;
  return made;
}

SettleRequest settle(const std::vector<Delivery>& deliveries) {
  SettleRequest made{"telemetry", "collectors", {}};
  for (const Delivery& each : deliveries) made.receipts_or_ids.push_back(each.receipt);
  return made;
}

// A publisher that repeats what was not answered, and a consumer; what each has seen.
class Traffic {
 public:
  static constexpr int kBatches = 150;
  static constexpr int kBatch = 4;

  Traffic(Runner& runner, RedisQueue& queue) : runner_(runner), queue_(queue) {}

  // Calls `disturb` some times meanwhile.
  void run(int times, const std::function<void()>& disturb) {
    auto published = runner_.start(publish_all());
    auto consumed = runner_.start(consume());
    for (int i = 1; i <= times; ++i) {
      while (batches_.load() < i * kBatches / (times + 1)) std::this_thread::sleep_for(1ms);
      disturb();
    }
    published.get();
    stop_ = true;
    consumed.get();
    // What was leased when the connection broke.
    for (int i = 0; i < 100 && held() > 0; ++i) {
      queue_.advance_time(1h);
      runner_.run(consume_once(10ms));
    }
  }

  void expect_nothing_lost() {
    EXPECT_EQ(held(), 0U);
    for (int i = 0; i < kBatches * kBatch; ++i) {
      const auto found = seen_.find("message " + std::to_string(i));
      ASSERT_NE(found, seen_.end()) << "lost: " << i;
      EXPECT_THAT(found->second, SizeIs(1)) << "two messages of one id: " << i;
    }
  }

 private:
  Async<void> publish_all() {
    for (int i = 0; i < kBatches; ++i) {
      std::vector<std::string> payloads;
      for (int k = 0; k < kBatch; ++k) {
        payloads.push_back("message " + std::to_string(i * kBatch + k));
      }
      for (;;) {
        auto batch = messages(payloads, true);
        const auto published = co_await queue_.publish("telemetry", std::move(batch));
        if (published) break;
        EXPECT_EQ(published.error().code, ErrorCode::kUnavailable) << published.error();
      }
      ++batches_;
    }
  }
  Async<void> consume() {
    while (!stop_) co_await consume_once(20ms);
  }
  Async<void> consume_once(std::chrono::milliseconds wait) {
    auto wanted = request(7, wait);
    const auto found = co_await queue_.fetch(std::move(wanted));
    if (!found) {
      EXPECT_EQ(found.error().code, ErrorCode::kUnavailable) << found.error();
      co_return;
    }
    if (found->empty()) co_return;
    for (const Delivery& each : *found) seen_[*each.payload].insert(each.message_id);
    auto done = settle(*found);
    const auto acked = co_await queue_.ack(std::move(done));
    if (acked) co_return;
    EXPECT_EQ(acked.error().code, ErrorCode::kUnavailable) << acked.error();
  }
  std::uint64_t held() {
    const auto statistics = runner_.run(queue_.statistics());
    if (!statistics || statistics->empty()) return 1;
    EXPECT_EQ((*statistics)[0].groups.at(0).dead, 0U);
    return (*statistics)[0].messages;
  }

  Runner& runner_;
  RedisQueue& queue_;
  std::atomic<int> batches_{0};
  std::atomic<bool> stop_{false};
  std::map<std::string, std::set<std::string>> seen_;  // message ids by payload
};

QueueOptions patient() {
  QueueOptions options;
  options.max_retries = 1000;
  return options;
}

TEST(RedisQueueTest, LosesNothingAcknowledgedWhenRedisIsKilledAndStartedAgain) {
  RedisTestServer server(kSafe);
  Runner runner;
  const auto queue = open(runner, server.address(), patient());
  Traffic traffic(runner, *queue);
  traffic.run(4, [&] {
    server.kill();
    server.start();
  });
  traffic.expect_nothing_lost();
}

TEST(RedisQueueTest, LosesNothingWhenConnectionsAreCut) {
  RedisTestServer server;
  Runner runner;
  const auto queue = open(runner, server.address(), patient());
  Traffic traffic(runner, *queue);
  traffic.run(20, [&] {
    EXPECT_THAT(server.ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}),
                ::testing::StartsWith(":"));
    server.ask({"CLIENT", "KILL", "TYPE", "pubsub"});
  });
  traffic.expect_nothing_lost();
}

TEST(RedisQueueTest, GoesOnWhenRedisForgetsTheScripts) {
  RedisTestServer server;
  Runner runner;
  const auto queue = open(runner, server.address(), patient());
  Traffic traffic(runner, *queue);
  traffic.run(5, [&] { server.ask({"SCRIPT", "FLUSH"}); });
  traffic.expect_nothing_lost();
}

TEST(RedisQueueTest, TwoProcessesServeOneQueue) {
  RedisTestServer server;
  Runner one;
  Runner two;
  const auto first = open(one, server.address());
  const auto second = open(two, server.address());
  constexpr std::size_t kMessages = 600;
  std::mutex mutex;
  std::multiset<std::string> seen;
  std::atomic<std::size_t> acked{0};
  const auto consume = [&](RedisQueue& queue) -> Async<void> {
    while (acked < kMessages) {
      auto wanted = request(5, 50ms);
      const auto found = co_await queue.fetch(std::move(wanted));
      if (!found) throw std::runtime_error(found.error().message);
      if (found->empty()) continue;
      auto done = settle(*found);
      const auto settled = co_await queue.ack(std::move(done));
      if (!settled) throw std::runtime_error(settled.error().message);
      acked += found->size();
      const std::lock_guard lock(mutex);
      for (const Delivery& each : *found) seen.insert(*each.payload);
    }
  };
  const auto produce = [&](RedisQueue& queue, std::size_t from) -> Async<void> {
    for (std::size_t i = from; i < kMessages; i += 2) {
      auto batch = messages({std::to_string(i)}, false);
      const auto published = co_await queue.publish("telemetry", std::move(batch));
      if (!published) throw std::runtime_error(published.error().message);
    }
  };
  std::vector<std::future<void>> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(one.start(consume(*first)));
    all.push_back(two.start(consume(*second)));
  }
  all.push_back(one.start(produce(*first, 0)));
  all.push_back(two.start(produce(*second, 1)));
  for (auto& each : all) EXPECT_NO_THROW(each.get());
  EXPECT_EQ(seen.size(), kMessages);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), kMessages);
}

TEST(RedisQueueTest, AWaitingFetchHearsOfAnotherProcess) {
  RedisTestServer server;
  Runner one;
  Runner two;
  const auto first = open(one, server.address());
  const auto second = open(two, server.address());
  ASSERT_TRUE(one.run(first->fetch(request(1, 0ms))));
  auto waiting = one.start(first->fetch(request(1, 1min)));
  ASSERT_TRUE(two.run(second->publish("telemetry", messages({"a"}, false))));
  auto found = waiting.get();
  ASSERT_TRUE(found) << found.error();
  ASSERT_THAT(*found, SizeIs(1));

  // A nack by receipt, and an ack by id, of what the other process was given.
  waiting = one.start(first->fetch(request(1, 1min)));
  ASSERT_TRUE(two.run(second->nack(settle(*found), {})));
  found = waiting.get();
  ASSERT_TRUE(found) << found.error();
  ASSERT_THAT(*found, SizeIs(1));
  const auto acked = two.run(second->ack({"telemetry", "collectors", {(*found)[0].message_id}}));
  ASSERT_TRUE(acked) << acked.error();
  EXPECT_THAT(*acked, ElementsAre(Settled::kDone));
}

TEST(RedisQueueTest, AWaitEndsInTimeAndALeaseThatRunsOutEndsIt) {
  RedisTestServer server;
  Runner runner;
  QueueOptions options;
  options.visibility_timeout = 150ms;
  const auto queue = open(runner, server.address(), options);
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages({"a"}, false))));
  ASSERT_THAT(*runner.run(queue->fetch(request(1, 0ms))), SizeIs(1));
  const auto again = runner.run(queue->fetch(request(1, 1min)));
  ASSERT_TRUE(again) << again.error();
  ASSERT_THAT(*again, SizeIs(1));
  EXPECT_EQ((*again)[0].delivery_count, 2U);
  ASSERT_TRUE(runner.run(queue->ack(settle(*again))));
  EXPECT_THAT(*runner.run(queue->fetch(request(1, 30ms))), IsEmpty());
}

TEST(RedisQueueTest, SettlesMoreThanOneScriptTakes) {
  RedisTestServer server;
  Runner runner;
  const auto queue = open(runner, server.address());
  const std::vector<std::string> payloads(2500, "x");
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages(payloads, false))));
  std::vector<Delivery> all;
  while (all.size() < payloads.size()) {
    const auto found = runner.run(queue->fetch(request(kMaxBatch, 0ms)));
    ASSERT_TRUE(found) << found.error();
    ASSERT_FALSE(found->empty());
    all.insert(all.end(), found->begin(), found->end());
  }
  NackOptions kill;
  kill.dead_letter_reason = "bad";
  const auto killed = runner.run(queue->nack(settle(all), kill));
  ASSERT_TRUE(killed) << killed.error();
  EXPECT_THAT(*killed, SizeIs(2500));
  EXPECT_THAT(*killed, Each(Settled::kDone));
  const auto letters = runner.run(queue->dead_letters("telemetry", "collectors", kMaxBatch));
  ASSERT_TRUE(letters) << letters.error();
  EXPECT_THAT(*letters, SizeIs(2500));
  EXPECT_EQ(*runner.run(queue->redrive("telemetry", "collectors", {})), 2500U);
  const auto statistics = runner.run(queue->statistics());
  EXPECT_EQ((*statistics)[0].messages, 2500U);
  EXPECT_EQ((*statistics)[0].bytes, 2500U);
  EXPECT_EQ((*statistics)[0].groups.at(0).ready, 2500U);
}

TEST(RedisQueueTest, SaysUnavailableWhileThereIsNoRedis) {
  RedisServer nobody;
  nobody.port = 1;
  Runner runner;
  RedisQueueOptions options;
  options.server = nobody;
  options.patience = 100ms;
  const auto queue = *make_redis_queue(options, system_clock(), runner.io().get_executor());
  const auto published = runner.run(queue->publish("telemetry", messages({"a"}, false)));
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(published.error().message, HasSubstr("127.0.0.1:1"));
  EXPECT_FALSE(runner.run(queue->check()));
}

TEST(RedisQueueTest, GivesUpOnARedisThatDoesNotAnswer) {
  RedisTestServer server;
  Runner runner;
  RedisQueueOptions options;
  options.server = server.address();
  options.reply_timeout = 300ms;
  const auto queue = *make_redis_queue(options, system_clock(), runner.io().get_executor());
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages({"a"}, false))));
  server.freeze(true);
  const auto published = runner.run(queue->publish("telemetry", messages({"b"}, false)));
  server.freeze(false);
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages({"c"}, false))));
}

// A Redis that accepts, reads what a connection opens with, and answers when it is told to.
class SlowToGreet {
 public:
  RedisServer address() const {
    RedisServer made;
    made.port = acceptor_.local_endpoint().port();
    return made;
  }
  // Returns when both connections of a queue have said their first commands.
  void accept_both() {
    for (int i = 0; i < 2; ++i) {
      tcp::socket socket = acceptor_.accept();
      std::string opening(16 << 10, '\0');
      opening.resize(socket.read_some(boost::asio::buffer(opening)));
      (opening.find("SUBSCRIBE") != std::string::npos ? listener_ : commands_) = std::move(socket);
    }
  }
  void greet_the_listener() {
    boost::asio::write(
        listener_,
        boost::asio::buffer(std::string_view("*3\r\n$9\r\nsubscribe\r\n$4\r\nwake\r\n:1\r\n")));
  }
  void close_commands() { commands_.close(); }
  void close_listener() { listener_.close(); }

 private:
  using tcp = boost::asio::ip::tcp;
  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
  tcp::socket commands_{io_};
  tcp::socket listener_{io_};
};

TEST(RedisQueueTest, EndsWhenItIsDestroyedWhileRedisGreetsIt) {
  SlowToGreet server;
  boost::asio::io_context io;
  RedisQueueOptions options;
  options.server = server.address();
  auto queue = *make_redis_queue(options, system_clock(), io.get_executor());
  auto ended = std::async(std::launch::async, [&io] { io.run(); });
  server.accept_both();
  queue.reset();
  server.close_commands();
  server.greet_the_listener();
  EXPECT_EQ(ended.wait_for(10s), std::future_status::ready) << "it listens with nobody to hear";
  server.close_listener();
}

template <class T>
Async<T> telling_that_it_begins(std::promise<void>& begun, Async<T> work) {
  begun.set_value();
  co_return co_await std::move(work);
}

// What becomes of `work` when it is cancelled while it waits for an answer.
template <class T>
std::optional<ErrorCode> error_when_cancelled(Runner& runner, Async<Result<T>> work) {
  using Task = concurrency::CancellableTask<boost::asio::io_context::executor_type>;
  const auto task = std::make_shared<Task>(runner.io().get_executor());
  std::promise<void> begun;
  std::promise<std::optional<ErrorCode>> ended;
  task->start(telling_that_it_begins(begun, std::move(work)),
              [&ended](const std::exception_ptr&, const Result<T>& result) {
                ended.set_value(result ? std::nullopt : std::optional(result.error().code));
              });
  begun.get_future().get();
  task->cancel();
  return ended.get_future().get();
}

TEST(RedisQueueTest, WhatAStreamerWaitsForEndsWhenItIsCancelled) {
  RedisTestServer server;
  Runner runner;
  const auto queue = open(runner, server.address());
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages({"a"}, false))));
  server.freeze(true);
  EXPECT_EQ(error_when_cancelled(runner, queue->publish("telemetry", messages({"b"}, true))),
            ErrorCode::kCancelled);
  ShardRequest share;
  share.topic = "telemetry";
  share.source = "fleet.csv";
  share.member = "one";
  EXPECT_EQ(error_when_cancelled(runner, queue->shards(share)), ErrorCode::kCancelled);
  server.freeze(false);
  // Late answers are not taken for those of others.
  const auto again = runner.run(queue->publish("telemetry", messages({"b"}, true)));
  ASSERT_TRUE(again) << again.error();
  EXPECT_THAT(*again, SizeIs(1));
}

TEST(RedisQueueTest, APublishIsCancelledWhileThereIsNoConnection) {
  RedisTestServer server;
  Runner runner;
  const auto queue = open(runner, server.address());
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages({"a"}, false))));
  server.kill();
  EXPECT_EQ(error_when_cancelled(runner, queue->publish("telemetry", messages({"b"}, true))),
            ErrorCode::kCancelled);
}

TEST(RedisQueueTest, ACancelledPublishDoesNotKeepItsContextRunning) {
  RedisTestServer server;
  Runner connection;
  const auto queue = open(connection, server.address());
  ASSERT_TRUE(connection.run(queue->publish("telemetry", messages({"a"}, false))));
  server.freeze(true);
  {
    Runner caller;  // ends when nothing is left to do
    EXPECT_EQ(error_when_cancelled(caller, queue->publish("telemetry", messages({"b"}, true))),
              ErrorCode::kCancelled);
  }
  server.freeze(false);
}

TEST(RedisQueueTest, AnAnswerAndACancellationMayComeTogether) {
  RedisTestServer server;
  Runner connection;
  const auto queue = open(connection, server.address());
  Runner caller;
  for (int i = 0; i < 300; ++i) {
    const auto payload = std::to_string(i);
    const auto error =
        error_when_cancelled(caller, queue->publish("telemetry", messages({payload}, true)));
    EXPECT_EQ(error.value_or(ErrorCode::kCancelled), ErrorCode::kCancelled);
    // Whether or not it was accepted, it is once.
    const auto again = caller.run(queue->publish("telemetry", messages({payload}, true)));
    ASSERT_TRUE(again) << again.error();
  }
  std::set<std::string> seen;
  for (;;) {
    const auto found = caller.run(queue->fetch(request(1000, 0ms)));
    ASSERT_TRUE(found) << found.error();
    if (found->empty()) break;
    for (const Delivery& each : *found) EXPECT_TRUE(seen.insert(*each.payload).second);
  }
  EXPECT_THAT(seen, SizeIs(300));
}

TEST(RedisQueueTest, PublishIsRefusedAndEverythingElseGoesOnWhenRedisHasNoMemory) {
  RedisTestServer server;
  Runner runner;
  const auto queue = open(runner, server.address());
  ASSERT_TRUE(runner.run(queue->publish("telemetry", messages({"a", "b"}, false))));
  server.ask({"CONFIG", "SET", "maxmemory", "1mb"});
  const auto refused = runner.run(queue->publish("telemetry", messages({"c"}, false)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFull) << refused.error();
  const auto found = runner.run(queue->fetch(request(9, 0ms)));
  ASSERT_TRUE(found) << found.error();
  EXPECT_THAT(*found, SizeIs(2));
  const auto acked = runner.run(queue->ack(settle(*found)));
  ASSERT_TRUE(acked) << acked.error();
  EXPECT_THAT(*acked, Each(Settled::kDone));
}

TEST(RedisQueueTest, LogsInAndKeepsToItsDatabase) {
  RedisTestServer server;
  server.ask({"ACL", "SETUSER", "queue", "on", ">se cret", "~*", "&*", "+@all"});
  Runner runner;
  RedisServer address = server.address();
  address.username = "queue";
  address.database = 3;
  std::atomic<bool> right{false};
  address.password = [&right] { return std::string(right ? "se cret" : "wrong"); };
  RedisQueueOptions options;
  options.server = address;
  options.patience = 300ms;
  const auto queue = *make_redis_queue(options, system_clock(), runner.io().get_executor());
  const auto refused = runner.run(queue->publish("telemetry", messages({"a"}, false)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("WRONGPASS"));
  right = true;  // the secret was rotated
  bool published = false;
  for (int i = 0; i < 30 && !published; ++i) {
    published = !!runner.run(queue->publish("telemetry", messages({"a"}, false)));
  }
  EXPECT_TRUE(published);
  EXPECT_THAT(server.ask({"DBSIZE"}), ::testing::StartsWith(":0"));
}

TEST(RedisQueueTest, WarnsOfSettingsThatLoseMessages) {
  RedisTestServer server(kSafe);
  Runner runner;
  const auto queue = open(runner, server.address());
  const auto warnings = [&] { return *runner.run(queue->check()); };
  EXPECT_THAT(warnings(), IsEmpty());
  server.ask({"CONFIG", "SET", "appendfsync", "everysec"});
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("appendfsync")));
  server.ask({"CONFIG", "SET", "appendonly", "no"});
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("appendonly")));
  server.ask({"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"});
  server.ask({"CONFIG", "SET", "maxmemory", "100mb"});
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("appendonly"), HasSubstr("maxmemory-policy")));
}

// --- TLS

class RedisTlsTest : public ::testing::Test {
 protected:
  // A redis-server with a certificate for `names`, as it is reached by TLS.
  RedisServer start(const std::string& names) {
    const auto pair = authority_.issue(names);
    const std::uint16_t port = RedisTestServer::free_port();
    redis_.emplace(std::vector<std::string>{
        "--tls-port", std::to_string(port), "--tls-auth-clients", "no", "--tls-cert-file",
        files_.write("cert.pem", pair.certificate), "--tls-key-file",
        files_.write("key.pem", pair.key), "--tls-ca-cert-file", trusted_});
    RedisServer server = redis_->address();
    server.port = port;
    server.tls = true;
    server.ca_file = trusted_;
    return server;
  }
  Result<std::vector<PublishResult>> publish(const RedisServer& server) {
    queue_ = open(runner_, server);
    return runner_.run(queue_->publish("telemetry", messages({"a"}, false), std::nullopt));
  }

  tls::TestAuthority authority_;
  tls::TestFiles files_;
  const std::string trusted_ = files_.write("ca.pem", authority_.certificate());
  std::optional<RedisTestServer> redis_;
  Runner runner_;
  std::unique_ptr<RedisQueue> queue_;
};

TEST_F(RedisTlsTest, CarriesMessages) {
  const auto published = publish(start("IP:127.0.0.1"));
  ASSERT_TRUE(published) << published.error();
  const auto found = runner_.run(queue_->fetch(request(1, 0ms)));
  ASSERT_TRUE(found) << found.error();
  ASSERT_THAT(*found, SizeIs(1));
  EXPECT_EQ(*found->front().payload, "a");
}

TEST_F(RedisTlsTest, TrustsNobodyElse) {
  RedisServer server = start("IP:127.0.0.1");
  server.ca_file = files_.write("other.pem", tls::TestAuthority("other").certificate());
  const auto published = publish(server);
  ASSERT_FALSE(published);
  EXPECT_THAT(published.error().message, HasSubstr("certificate"));
}

TEST_F(RedisTlsTest, ACertificateForAnotherHostIsRefused) {
  const auto published = publish(start("DNS:elsewhere"));
  ASSERT_FALSE(published);
  EXPECT_THAT(published.error().message, HasSubstr("certificate"));
}

TEST_F(RedisTlsTest, AFileOfAuthoritiesThatIsNotThereIsNamed) {
  RedisServer server = start("IP:127.0.0.1");
  server.ca_file = "/nowhere/ca.pem";
  const auto published = publish(server);
  ASSERT_FALSE(published);
  EXPECT_THAT(published.error().message, HasSubstr("/nowhere/ca.pem"));
}

}  // namespace
}  // namespace gpu_telemetry::queue
