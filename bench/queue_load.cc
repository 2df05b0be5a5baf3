// Load on a queue service over HTTP, from one process, as our own services put it there:
//   queue_load URL publish MESSAGES BATCH CALLERS   publishes MESSAGES of 1 KB, BATCH a request
//   queue_load URL consume MESSAGES BATCH CALLERS   fetches and acks so many
//   queue_load URL decode SAMPLES BATCH CALLERS     the same, and decodes what is in them, until so
//                                                   many samples have come
// CALLERS requests are under way at a time. Prints one JSON object; "seconds" of the consumers runs
// from the first delivery.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/http_client/http_queue.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::queue {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMessageSize = 1024;
constexpr std::chrono::seconds kPatience{30};  // without a message, something is wrong

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "queue_load: %s\n", why.c_str());
  std::exit(1);
}

struct Load {
  std::uint64_t wanted = 0;
  std::size_t batch = 1;
  std::uint64_t begun = 0;  // published, or asked for
  std::uint64_t messages = 0;
  std::uint64_t samples = 0;
  std::optional<SteadyClock::time_point> first;
  bool decodes = false;
  bool done() const { return (decodes ? samples : messages) >= wanted; }
};

Async<void> publish(MessageQueue& queue, Load& load) {
  OutgoingMessage message;
  message.payload = std::make_shared<const std::string>(kMessageSize, 'x');
  load.first = SteadyClock::now();
  while (load.begun < load.wanted) {
    load.begun += load.batch;
    std::vector<OutgoingMessage> messages(load.batch, message);
    const auto published = co_await queue.publish("telemetry", std::move(messages));
    if (!published) die("publish: " + published.error().message);
    load.messages += load.batch;
  }
}

void decode(const std::vector<Delivery>& deliveries, Load& load) {
  thread_local TelemetryBatch batch;
  for (const Delivery& delivery : deliveries) {
    const auto decoded = wire::batch_codec().decode(*delivery.payload, batch);
    if (!decoded) die("decode: " + decoded.error().message);
    load.samples += batch.samples.size();
  }
}

Async<void> consume(MessageQueue& queue, Load& load) {
  FetchRequest request;
  request.topic = "telemetry";
  request.group = "collectors";
  request.consumer = "queue_load";
  request.max_messages = load.batch;
  request.wait = std::chrono::milliseconds{200};
  SteadyClock::time_point last = SteadyClock::now();
  while (!load.done()) {
    const auto deliveries = co_await queue.fetch(request);
    if (!deliveries) die("fetch: " + deliveries.error().message);
    if (deliveries->empty()) {
      if (SteadyClock::now() - last > kPatience) die("no message has come for too long");
      continue;
    }
    last = SteadyClock::now();
    if (!load.first) load.first = last;
    if (load.decodes) decode(*deliveries, load);
    SettleRequest settle;
    settle.topic = request.topic;
    settle.group = request.group;
    for (const Delivery& delivery : *deliveries) settle.receipts_or_ids.push_back(delivery.receipt);
    const auto acked = co_await queue.ack(std::move(settle));
    if (!acked) die("ack: " + acked.error().message);
    load.messages += deliveries->size();
  }
}

int run(const std::string& url, const std::string& mode, Load load, int callers) {
  asio::io_context context(1);
  HttpQueueOptions options;
  options.url = url;
  const auto queue = make_http_queue(options, context.get_executor());
  if (!queue) die(queue.error().message);
  load.decodes = mode == "decode";
  int running = callers;
  const auto ended = [&running, &queue](const std::exception_ptr& thrown) {
    if (thrown) die("a caller threw");
    if (--running == 0) (*queue)->shut_down();
  };
  for (int i = 0; i < callers; ++i) {
    auto caller = mode == "publish" ? publish(**queue, load) : consume(**queue, load);
    asio::co_spawn(context, std::move(caller), ended);
  }
  context.run();
  const std::chrono::duration<double> seconds = SteadyClock::now() - load.first.value();
  std::printf("{\"seconds\": %.6f, \"messages\": %llu, \"samples\": %llu}\n", seconds.count(),
              static_cast<unsigned long long>(load.messages),
              static_cast<unsigned long long>(load.samples));
  return 0;
}

}  // namespace
}  // namespace gpu_telemetry::queue

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: queue_load URL publish|consume|decode COUNT BATCH CALLERS\n");
    return 2;
  }
  gpu_telemetry::queue::Load load;
  load.wanted = std::strtoull(argv[3], nullptr, 10);
  load.batch = std::strtoull(argv[4], nullptr, 10);
  return gpu_telemetry::queue::run(argv[1], argv[2], load, std::atoi(argv[5]));
}
