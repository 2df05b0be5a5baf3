#include "queue/http_api/waiting_fetch.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "observability/log.h"

namespace gpu_telemetry::queue {
namespace {

namespace asio = boost::asio;
using Deliveries = std::vector<Delivery>;
using Why = http::Interruption::Why;

// The interruption knows the signal no longer than the fetch takes.
struct ForgetOnReturn {
  http::Interruption& interruption;
  ~ForgetOnReturn() { interruption.notify(nullptr); }
};

// Asio throws into a coroutine that is cancelled; an engine may let that through.
Async<Result<Deliveries>> fetch_without_throwing(MessageQueue& queue, FetchRequest request) {
  try {
    co_return co_await queue.fetch(std::move(request));
  } catch (const std::exception& error) {
    co_return cancelled(std::string("the fetch ended: ") + error.what());
  }
}

}  // namespace

Async<void> release(MessageQueue& queue, std::string topic, std::string group,
                    std::vector<std::string> receipts) {
  if (receipts.empty()) co_return;
  SettleRequest request;
  request.topic = std::move(topic);
  request.group = std::move(group);
  request.receipts_or_ids = std::move(receipts);
  NackOptions options;
  options.release = true;
  const auto released = co_await queue.nack(std::move(request), std::move(options));
  if (!released) {
    static observability::LogLimiter limiter;
    limiter.log(observability::LogLevel::kWarn,
                "messages of a consumer that left wait for the end of their leases",
                {{"error", released.error().message}});
  }
}

Async<Result<Deliveries>> fetch_unless_interrupted(MessageQueue& queue, FetchRequest request,
                                                   http::Interruption& interruption) {
  const auto wait = std::exchange(request.wait, std::chrono::milliseconds{0});
  Result<Deliveries> found = co_await queue.fetch(request);
  if (!found || !found->empty() || wait.count() == 0) co_return found;

  request.wait = wait;
  const auto executor = co_await asio::this_coro::executor;
  asio::cancellation_signal stop;
  const ForgetOnReturn forget{interruption};
  interruption.notify([&stop] { stop.emit(asio::cancellation_type::terminal); });
  auto fetching = fetch_without_throwing(queue, request);
  Result<Deliveries> result =
      co_await asio::co_spawn(executor, std::move(fetching),
                              asio::bind_cancellation_slot(stop.slot(), asio::use_awaitable));
  const Why why = interruption.why();
  if (why != Why::kNone && !result) co_return Deliveries{};
  if (why == Why::kClientLeft && result && !result->empty()) {
    std::vector<std::string> receipts;
    for (const Delivery& delivery : *result) receipts.push_back(delivery.receipt);
    co_await release(queue, request.topic, request.group, std::move(receipts));
    co_return Deliveries{};
  }
  co_return result;
}

}  // namespace gpu_telemetry::queue
