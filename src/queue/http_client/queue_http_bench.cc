// The queue over loopback, one process: requests of one 1 KB message and of 100.
#include <benchmark/benchmark.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "http/server.h"
#include "queue/http_api/queue_routes.h"
#include "queue/http_client/http_queue.h"
#include "queue/memory/memory_queue.h"

namespace gpu_telemetry::queue {
namespace {

namespace asio = boost::asio;

constexpr int kCallers = 32;  // each with a connection of its own

void require(bool holds) {
  if (!holds) std::abort();
}

// A service over the memory engine, and a client of it.
struct Loopback {
  Loopback() {
    QueueOptions options;
    options.max_messages_per_topic = 1'000'000;
    options.max_bytes = 4_GiB;
    engine = make_memory_queue(options, system_clock(), pool.get_executor());
    http::Router router;
    require(add_queue_routes(router, QueueApiOptions{}, *engine).has_value());
    http::ServerOptions listen;
    listen.port = 0;
    listen.threads = 1;
    listen.log_requests = false;
    server = *http::Server::listen(listen, std::move(router));
    server->start();
    HttpQueueOptions to;
    to.url = "http://127.0.0.1:" + std::to_string(server->port());
    client = *make_http_queue(to, pool.get_executor());
  }
  ~Loopback() {
    client.reset();
    engine->shut_down();
    pool.join();
    server->stop(std::chrono::seconds{5});
  }

  asio::thread_pool pool{1};
  std::unique_ptr<LedgerQueue> engine;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<MessageQueue> client;
};

std::vector<OutgoingMessage> batch(std::size_t size) {
  OutgoingMessage message;
  message.payload = std::make_shared<const std::string>(1024, 'x');
  return std::vector<OutgoingMessage>(size, message);
}

// Publishes, fetches and acks so many messages, once.
Async<void> round(MessageQueue& queue, std::size_t size) {
  auto messages = batch(size);
  const auto published = co_await queue.publish("telemetry", std::move(messages));
  require(published.has_value());
  FetchRequest request;
  request.topic = "telemetry";
  request.group = "collectors";
  request.max_messages = size;
  const auto found = co_await queue.fetch(request);
  require(found.has_value());
  SettleRequest settle;
  settle.topic = request.topic;
  settle.group = request.group;
  for (const Delivery& delivery : *found) settle.receipts_or_ids.push_back(delivery.receipt);
  if (settle.receipts_or_ids.empty()) co_return;  // another caller took them
  const auto acked = co_await queue.ack(std::move(settle));
  require(acked.has_value());
}

void run_rounds(benchmark::State& state, std::size_t size) {
  Loopback loopback;
  constexpr int kRounds = 20;
  const auto rounds = [&loopback, size]() -> Async<void> {
    for (int i = 0; i < kRounds; ++i) co_await round(*loopback.client, size);
  };
  for (auto _ : state) {
    asio::io_context context;
    std::vector<std::future<void>> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.push_back(asio::co_spawn(context, rounds, asio::use_future));
    }
    context.run();
    for (auto& each : callers) each.get();
  }
  const auto messages = state.iterations() * kCallers * kRounds * static_cast<std::int64_t>(size);
  state.SetItemsProcessed(messages);
  state.counters["requests/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kCallers * kRounds * 3,
                         benchmark::Counter::kIsRate);
}

void publish_fetch_ack_one(benchmark::State& state) { run_rounds(state, 1); }
void publish_fetch_ack_hundred(benchmark::State& state) { run_rounds(state, 100); }

BENCHMARK(publish_fetch_ack_one)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(publish_fetch_ack_hundred)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gpu_telemetry::queue
