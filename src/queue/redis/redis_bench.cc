// The queue on Redis beside plain streams of Redis over the same connection code, in one run:
// batches of 100 messages of 1 KB, some of them in flight at a time.
//
// plain: 100 XADD in one pipeline; XREADGROUP and then XACK of 100. It forgets nothing, has no
// limits, deadlines or dead letters. Arguments: batches in flight; 1 when Redis syncs each write.
#include <benchmark/benchmark.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <stdexcept>

#include "domain/clock.h"
#include "queue/redis/redis_connection.h"
#include "queue/redis/redis_queue.h"
#include "queue/redis/redis_test_server.h"

namespace gpu_telemetry::queue {
namespace {

constexpr std::size_t kBatch = 100;
constexpr int kRounds = 20;  // batches of each flight in one iteration

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

class Bench {
 public:
  explicit Bench(bool sync)
      : server_(sync ? std::vector<std::string>{"--appendonly", "yes", "--appendfsync", "always"}
                     : std::vector<std::string>{}) {
    RedisQueueOptions options;
    options.server = server_.address();
    options.queue.max_messages_per_topic = 10'000'000;
    options.queue.max_bytes = 8_GiB;
    queue_ = *make_redis_queue(options, system_clock(), io_.get_executor());
    RedisConnectionOptions plain;
    plain.server = server_.address();
    plain.connect_timeout = plain.reply_timeout = plain.patience = std::chrono::seconds{5};
    plain_ = std::make_shared<RedisConnection>(plain, io_.get_executor());
    plain_->start();
    ask({"XGROUP", "CREATE", "plain", "g", "0", "MKSTREAM"});
    run(1, [this] { return fetch_and_ack(); });
  }
  ~Bench() {
    plain_->stop();
    queue_.reset();
    io_.restart();
    io_.run_for(std::chrono::seconds{1});
  }

  // `rounds` of `work`, one after the other, in each of `flights` coroutines. Seconds.
  double run(int flights, const std::function<Async<void>()>& work, int rounds = 1) {
    const auto from = std::chrono::steady_clock::now();
    int left = flights;
    for (int i = 0; i < flights; ++i) {
      co_spawn(io_, repeat(work, rounds), [&left](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
        --left;
      });
    }
    io_.restart();
    while (left > 0) io_.run_one();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  }

  Async<void> publish() {
    std::vector<OutgoingMessage> batch(kBatch);
    for (OutgoingMessage& message : batch) message.payload = payload_;
    const auto published = co_await queue_->publish("telemetry", std::move(batch));
    require(!!published, "publish");
  }
  Async<void> fetch_and_ack() {
    FetchRequest request;
    request.topic = "telemetry";
    request.group = "collectors";
    request.max_messages = kBatch;
    const auto found = co_await queue_->fetch(std::move(request));
    require(!!found, "fetch");
    if (found->empty()) co_return;
    SettleRequest settle{"telemetry", "collectors", {}};
    for (const Delivery& each : *found) settle.receipts_or_ids.push_back(each.receipt);
    const auto acked = co_await queue_->ack(std::move(settle));
    require(!!acked, "ack");
  }

  Async<void> plain_publish() {
    std::vector<std::string> commands;
    for (std::size_t i = 0; i < kBatch; ++i) {
      RedisCommand add(5, payload_->size());
      add.add("XADD").add("plain").add("*").add("p").add(*payload_);
      commands.push_back(add.take());
    }
    const auto answers = co_await plain_->call_all(std::move(commands));
    for (const auto& answer : answers) require(answer && !answer->is_error(), "XADD");
  }
  Async<void> plain_fetch_and_ack() {
    RedisCommand read(9);
    read.add("XREADGROUP").add("GROUP").add("g").add("c").add("COUNT");
    read.add(std::uint64_t{kBatch}).add("STREAMS").add("plain").add(">");
    const auto found = co_await plain_->call(read.take());
    require(found && !found->is_error(), "XREADGROUP");
    if (found->elements.empty()) co_return;
    const auto& messages = found->elements.at(0).elements.at(1).elements;
    RedisCommand acks(3 + messages.size());
    acks.add("XACK").add("plain").add("g");
    for (const RedisReply& message : messages) acks.add(message.elements.at(0).text);
    const auto acked = co_await plain_->call(acks.take());
    require(acked && !acked->is_error(), "XACK");
  }
  void forget_plain() { ask({"XTRIM", "plain", "MAXLEN", "0"}); }

 private:
  static Async<void> repeat(const std::function<Async<void>()>& work, int rounds) {
    for (int i = 0; i < rounds; ++i) co_await work();
  }
  void ask(const std::vector<std::string>& words) { server_.ask(words); }

  const Payload payload_ = std::make_shared<const std::string>(1024, 'x');
  RedisTestServer server_;
  boost::asio::io_context io_;
  std::unique_ptr<RedisQueue> queue_;
  std::shared_ptr<RedisConnection> plain_;
};

// Times publishing (or fetching and acking) `kRounds` batches in each flight; the rest is not.
void measure(benchmark::State& state, bool plain, bool publishing) {
  Bench bench(state.range(1) != 0);
  const auto flights = static_cast<int>(state.range(0));
  const std::function<Async<void>()> publish = [&] {
    return plain ? bench.plain_publish() : bench.publish();
  };
  const std::function<Async<void>()> consume = [&] {
    return plain ? bench.plain_fetch_and_ack() : bench.fetch_and_ack();
  };
  for (auto _ : state) {
    const double published = bench.run(flights, publish, kRounds);
    const double consumed = bench.run(flights, consume, kRounds);
    if (plain) bench.forget_plain();
    state.SetIterationTime(publishing ? published : consumed);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * flights * kRounds *
                          static_cast<std::int64_t>(kBatch));
}

void publish(benchmark::State& state) { measure(state, false, true); }
void plain_publish(benchmark::State& state) { measure(state, true, true); }
void fetch_and_ack(benchmark::State& state) { measure(state, false, false); }
void plain_fetch_and_ack(benchmark::State& state) { measure(state, true, false); }

void flights(benchmark::internal::Benchmark* made) {
  made->UseManualTime()->Args({1, 0})->Args({8, 0})->Args({8, 1})->ArgNames({"flights", "sync"});
}
BENCHMARK(publish)->Apply(flights);
BENCHMARK(plain_publish)->Apply(flights);
BENCHMARK(fetch_and_ack)->Apply(flights);
BENCHMARK(plain_fetch_and_ack)->Apply(flights);

}  // namespace
}  // namespace gpu_telemetry::queue
