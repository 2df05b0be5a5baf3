// Messages through the engines, a core or two: batches of 100 messages of 1 KB.
#include <benchmark/benchmark.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "domain/clock.h"
#include "queue/durable/durable_queue.h"
#include "queue/ledger.h"
#include "queue/memory/memory_queue.h"

namespace gpu_telemetry::queue {
namespace {

constexpr std::size_t kBatch = 100;

std::vector<OutgoingMessage> make_batch() {
  static const Payload payload = std::make_shared<const std::string>(1024, 'x');
  std::vector<OutgoingMessage> batch(kBatch);
  for (OutgoingMessage& message : batch) message.payload = payload;
  return batch;
}

FetchRequest make_request() {
  FetchRequest request;
  request.topic = "telemetry";
  request.group = "collectors";
  request.max_messages = kBatch;
  return request;
}

// The state machine alone: publish, fetch and ack of a batch.
void ledger(benchmark::State& state) {
  Ledger ledger(QueueOptions{}, {random_epoch(), 0});
  const FetchRequest request = make_request();
  for (auto _ : state) {
    const Now now = read(system_clock());
    if (!ledger.publish(now, "telemetry", make_batch())) throw std::runtime_error("publish");
    const auto deliveries = ledger.fetch(now, request);
    SettleRequest settle{"telemetry", "collectors", {}};
    for (const Delivery& each : *deliveries) settle.receipts_or_ids.push_back(each.receipt);
    benchmark::DoNotOptimize(ledger.ack(now, settle));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kBatch));
}
BENCHMARK(ledger);

Async<void> produce(MessageQueue& queue, int batches) {
  for (int i = 0; i < batches; ++i) {
    auto batch = make_batch();
    const auto published = co_await queue.publish("telemetry", std::move(batch));
    if (!published) throw std::runtime_error(published.error().message);
  }
}

Async<void> consume(MessageQueue& queue, int batches) {
  std::size_t left = static_cast<std::size_t>(batches) * kBatch;
  while (left > 0) {
    auto request = make_request();
    request.wait = std::chrono::seconds{10};
    const auto found = co_await queue.fetch(std::move(request));
    if (!found) throw std::runtime_error(found.error().message);
    SettleRequest settle{"telemetry", "collectors", {}};
    for (const Delivery& each : *found) settle.receipts_or_ids.push_back(each.receipt);
    left -= found->size();
    const auto acked = co_await queue.ack(std::move(settle));
    if (!acked) throw std::runtime_error(acked.error().message);
  }
}

constexpr int kBatches = 50;

QueueOptions roomy() {
  QueueOptions options;
  options.max_messages_per_topic = 1'000'000;
  options.max_bytes = 2_GiB;
  return options;
}

// Some producers and one consumer, until everything is acked.
void through(benchmark::State& state, boost::asio::io_context& context, MessageQueue& queue) {
  const auto producers = static_cast<int>(state.range(0));
  for (auto _ : state) {
    bool done = false;
    for (int i = 0; i < producers; ++i) {
      co_spawn(context, produce(queue, kBatches), boost::asio::detached);
    }
    co_spawn(context, consume(queue, kBatches * producers),
             [&done](const std::exception_ptr& error) {
               if (error) std::rethrow_exception(error);
               done = true;
             });
    context.restart();
    while (!done) context.run_one();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * producers * kBatches *
                          static_cast<std::int64_t>(kBatch));
}

void memory(benchmark::State& state) {
  boost::asio::io_context context;
  const auto queue = make_memory_queue(roomy(), system_clock(), context.get_executor());
  through(state, context, *queue);
}
BENCHMARK(memory)->Arg(1)->Arg(4)->UseRealTime();

void durable(benchmark::State& state) {
  boost::asio::io_context context;
  const std::string directory = (std::filesystem::temp_directory_path() / "queue_bench").string();
  std::filesystem::remove_all(directory);
  {
    DurableQueueOptions options;
    options.directory = directory;
    options.queue = roomy();
    auto queue = open_durable_queue(options, system_clock(), context.get_executor());
    if (!queue) throw std::runtime_error(queue.error().message);
    through(state, context, **queue);
  }
  std::filesystem::remove_all(directory);
}
BENCHMARK(durable)->Arg(1)->Arg(16)->UseRealTime();

}  // namespace
}  // namespace gpu_telemetry::queue
