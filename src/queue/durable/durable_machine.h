// For tests: a durable queue on a simulated disk whose power can fail.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "io/simulated_file_system.h"
#include "observability/health.h"
#include "queue/durable/durable_queue.h"

namespace gpu_telemetry::queue {

inline constexpr Timestamp kStart = from_unix_milliseconds(1'760'000'000'000);

template <class T>
Async<void> keep(Async<T> work, std::optional<T>& result) {
  result.emplace(co_await std::move(work));
}

// Holds the next sync of `files`, and no later one, until it is let go on.
class HeldSync {
 public:
  explicit HeldSync(io::SimulatedFileSystem& files) {
    files.on_sync([state = state_] {
      if (std::exchange(state->seen, true)) return;
      state->reached.set_value();
      state->released.get_future().wait();
    });
  }
  void wait_until_reached() { state_->reached.get_future().wait(); }
  void let_go_on() { state_->released.set_value(); }

 private:
  struct State {
    bool seen = false;
    std::promise<void> reached;
    std::promise<void> released;
  };
  // Also of the file system, which syncs once more when the queue closes.
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// One queue directory on one simulated disk, opened and reopened.
class Machine {
 public:
  explicit Machine(ByteSize segment_size = 64_KiB) { options_.segment_size = segment_size; }
  ~Machine() { close(); }

  Result<void> open(bool consumers_are_local = false) {
    options_.consumers_are_local = consumers_are_local;
    options_.directory = "/queue";
    options_.files = &files;
    options_.health = &health;
    auto opened = open_durable_queue(options_, clock, context_.get_executor());
    if (!opened) return opened.error();
    queue_ = std::move(*opened);
    return {};
  }
  void close() {
    queue_.reset();
    context_.restart();
    context_.poll();
  }
  template <class T>
  Result<T> run(Async<Result<T>> work) {
    std::optional<Result<T>> result;
    co_spawn(context_, keep(std::move(work), result), boost::asio::detached);
    context_.restart();
    while (!result) context_.run_one();
    return std::move(*result);
  }
  // Begins work whose result comes later; finish() waits for it.
  template <class T>
  void begin(Async<Result<T>> work, std::optional<Result<T>>& result) {
    co_spawn(context_, keep(std::move(work), result), boost::asio::detached);
    context_.restart();
    context_.poll();
  }
  template <class T>
  void finish(std::optional<Result<T>>& result) {
    context_.restart();
    while (!result) context_.run_one();
  }
  LedgerQueue& queue() { return *queue_; }

  Result<std::vector<PublishResult>> publish(const std::vector<std::string>& payloads,
                                             const std::string& id = {}) {
    std::vector<OutgoingMessage> messages;
    for (const std::string& payload : payloads) {
      OutgoingMessage& message = messages.emplace_back();
      message.payload = std::make_shared<const std::string>(payload);
      message.headers = {{"name", payload.substr(0, 3)}};
      message.deduplication_id = id;
    }
    return run(queue().publish("t", std::move(messages)));
  }
  Result<std::vector<Delivery>> fetch(std::size_t max = 1000) {
    FetchRequest request;
    request.topic = "t";
    request.group = "collectors";
    request.max_messages = max;
    return run(queue().fetch(std::move(request)));
  }
  Result<std::vector<Settled>> ack(const std::string& receipt) {
    return run(queue().ack({"t", "collectors", {receipt}}));
  }
  Result<std::vector<Settled>> kill(const std::string& receipt, const std::string& reason) {
    NackOptions options;
    options.dead_letter_reason = reason;
    return run(queue().nack({"t", "collectors", {receipt}}, std::move(options)));
  }
  Result<std::vector<DeadLetter>> dead() {
    return run(queue().dead_letters("t", "collectors", 1000));
  }

  observability::Health health;
  io::SimulatedFileSystem files;
  ManualClock clock{kStart};

 private:
  DurableQueueOptions options_;
  boost::asio::io_context context_;
  std::unique_ptr<LedgerQueue> queue_;
};

}  // namespace gpu_telemetry::queue
