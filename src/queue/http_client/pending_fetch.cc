#include "queue/http_client/pending_fetch.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <type_traits>
#include <utility>

namespace gpu_telemetry::queue {

namespace asio = boost::asio;

namespace {

template <class Handler>
class SuspendedCaller final : public PendingFetch::Waiter {
 public:
  explicit SuspendedCaller(Handler handler)
      : executor_(asio::prefer(asio::get_associated_executor(handler),
                               asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)) {}

  void resume(PendingFetch::Outcome outcome) override {
    auto run = [handler = std::move(handler_), outcome = std::move(outcome)]() mutable {
      std::move(handler)(std::move(outcome));
    };
    asio::post(executor_, std::move(run));
  }

 private:
  using Executor =
      std::decay_t<decltype(asio::prefer(asio::get_associated_executor(std::declval<Handler&>()),
                                         asio::execution::outstanding_work.tracked))>;
  Executor executor_;
  Handler handler_;
};

}  // namespace

struct StartWaiting {
  std::shared_ptr<PendingFetch> fetch;

  template <class Handler>
  void operator()(Handler handler) {
    // The slot first: once the waiter is there, another thread may resume the coroutine.
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([weak = std::weak_ptr(fetch)](asio::cancellation_type) {
        const auto left = weak.lock();
        if (left) left->leave(cancelled("the fetch was cancelled while it waited"));
      });
    }
    fetch->start(std::make_unique<SuspendedCaller<Handler>>(std::move(handler)));
  }
};

Async<PendingFetch::Outcome> PendingFetch::wait(std::shared_ptr<PendingFetch> fetch) {
  StartWaiting start{std::move(fetch)};
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Outcome)>(
      std::move(start), asio::use_awaitable);
}

void PendingFetch::start(std::unique_ptr<Waiter> waiter) {
  std::unique_lock lock(mutex_);
  if (!outcome_) {
    waiter_ = std::move(waiter);
    return;
  }
  Outcome outcome = std::move(*outcome_);
  lock.unlock();
  waiter->resume(std::move(outcome));
}

void PendingFetch::leave(Error why) {
  std::unique_ptr<Waiter> waiter;
  {
    const std::lock_guard lock(mutex_);
    if (left_ || outcome_) return;
    left_ = true;
    waiter = std::move(waiter_);
    outcome_ = why;
  }
  hangup_->hang_up();
  if (waiter) waiter->resume(std::move(why));
}

bool PendingFetch::complete(Outcome& outcome) {
  std::unique_ptr<Waiter> waiter;
  {
    const std::lock_guard lock(mutex_);
    if (left_) return false;
    waiter = std::move(waiter_);
    if (!waiter) {
      outcome_ = std::move(outcome);
      return true;
    }
    outcome_ = Outcome{};  // it is over: nobody can leave any more
  }
  waiter->resume(std::move(outcome));
  return true;
}

}  // namespace gpu_telemetry::queue
