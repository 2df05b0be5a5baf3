// A coroutine that any thread may cancel.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace gpu_telemetry::concurrency {

// `Executor` runs one thing at a time, and its context has one thread: Asio cancels a coroutine
// that waits for one on another executor by a pointer that nothing keeps alive between two threads.
template <class Executor>
class CancellableTask : public std::enable_shared_from_this<CancellableTask<Executor>> {
 public:
  explicit CancellableTask(Executor executor) : executor_(std::move(executor)) {}

  // Once. `ended` is called on the executor, as co_spawn() calls it.
  template <class T, class Ended>
  void start(boost::asio::awaitable<T> work, Ended ended) {
    auto begin = [self = this->shared_from_this(), work = std::move(work),
                  ended = std::move(ended)]() mutable {
      if (self->cancelled_) {
        self->ended_ = true;
        const boost::system::system_error aborted(boost::asio::error::operation_aborted);
        if constexpr (std::is_void_v<T>) {
          ended(std::make_exception_ptr(aborted));
        } else {
          ended(std::make_exception_ptr(aborted), T());
        }
        return;
      }
      auto end = [self, ended = std::move(ended)](auto... outcome) mutable {
        self->ended_ = true;
        ended(std::move(outcome)...);
      };
      boost::asio::co_spawn(
          self->executor_, std::move(work),
          boost::asio::bind_cancellation_slot(self->signal_.slot(), std::move(end)));
    };
    boost::asio::post(executor_, std::move(begin));
  }

  // Whatever the work waits for ends with operation_aborted, where that can be cancelled, and so
  // does what it would wait for after it. Work that has not begun does not begin.
  void cancel() {
    boost::asio::post(executor_, [self = this->shared_from_this()] {
      self->cancelled_ = true;
      if (!self->ended_) self->signal_.emit(boost::asio::cancellation_type::terminal);
    });
  }

 private:
  const Executor executor_;
  // All used on the executor.
  boost::asio::cancellation_signal signal_;
  bool cancelled_ = false;
  bool ended_ = false;
};

}  // namespace gpu_telemetry::concurrency
