// A coroutine that any thread may cancel.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <memory>
#include <utility>

namespace gpu_telemetry::concurrency {

// `Executor` runs one thing at a time, as a strand or a context of one thread does.
template <class Executor>
class CancellableTask : public std::enable_shared_from_this<CancellableTask<Executor>> {
 public:
  explicit CancellableTask(Executor executor) : executor_(std::move(executor)) {}

  // Once. `ended` is called on the executor, as co_spawn() calls it.
  template <class T, class Ended>
  void start(boost::asio::awaitable<T> work, Ended ended) {
    auto end = [self = this->shared_from_this(),
                ended = std::move(ended)](auto... outcome) mutable {
      self->ended_ = true;
      ended(std::move(outcome)...);
    };
    boost::asio::co_spawn(executor_, std::move(work),
                          boost::asio::bind_cancellation_slot(signal_.slot(), std::move(end)));
  }

  // Whatever the work waits for ends with operation_aborted, where that can be cancelled, and so
  // does what it would wait for after it.
  void cancel() {
    boost::asio::post(executor_, [self = this->shared_from_this()] {
      if (!self->ended_) self->signal_.emit(boost::asio::cancellation_type::terminal);
    });
  }

 private:
  const Executor executor_;
  // Both used on the executor.
  boost::asio::cancellation_signal signal_;
  bool ended_ = false;
};

}  // namespace gpu_telemetry::concurrency
