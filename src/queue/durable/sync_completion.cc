#include "queue/durable/sync_completion.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace gpu_telemetry::queue {
namespace asio = boost::asio;

namespace {

template <class Handler>
class SuspendedSync final : public SyncCompletion::Waiter {
 public:
  explicit SuspendedSync(Handler handler)
      : executor_(asio::prefer(asio::get_associated_executor(handler),
                               asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)) {}

  void resume(Result<void> outcome) override {
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

struct SyncCompletion::Start {
  std::shared_ptr<SyncCompletion> completion;

  template <class Handler>
  void operator()(Handler handler) {
    auto waiter = std::make_unique<SuspendedSync<Handler>>(std::move(handler));
    const std::lock_guard lock(completion->mutex_);
    if (completion->outcome_) {
      waiter->resume(std::move(*completion->outcome_));
    } else {
      completion->waiter_ = std::move(waiter);
    }
  }
};

void SyncCompletion::complete(Result<void> outcome) {
  const std::lock_guard lock(mutex_);
  if (waiter_) {
    waiter_->resume(std::move(outcome));
    waiter_.reset();
  } else {
    outcome_.emplace(std::move(outcome));
  }
}

Async<Result<void>> SyncCompletion::wait(std::shared_ptr<SyncCompletion> completion) {
  Start start{std::move(completion)};
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<void>)>(
      std::move(start), asio::use_awaitable);
}

}  // namespace gpu_telemetry::queue
