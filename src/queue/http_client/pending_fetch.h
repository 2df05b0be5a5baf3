// A fetch that its caller may leave while the request goes on.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "domain/result.h"
#include "http/client.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

// Thread-safe. Between the caller's coroutine, which waits for it, and the one that makes the
// request, which completes it.
class PendingFetch : public std::enable_shared_from_this<PendingFetch> {
 public:
  using Outcome = Result<std::vector<Delivery>>;

  // Whoever waits, resumed at most once, on its own executor.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void resume(Outcome outcome) = 0;
  };

  // Resumes with the outcome; cancelling the coroutine leaves.
  static Async<Outcome> wait(std::shared_ptr<PendingFetch> fetch);

  // The caller does not wait any longer and gets `why`; the service is told.
  void leave(Error why);
  // Whether the caller took it. When not, what is in it is still the request's.
  bool complete(Outcome& outcome);

  const std::shared_ptr<http::Hangup>& hangup() const { return hangup_; }

 private:
  friend struct StartWaiting;
  void start(std::unique_ptr<Waiter> waiter);

  const std::shared_ptr<http::Hangup> hangup_ = std::make_shared<http::Hangup>();
  std::mutex mutex_;
  std::unique_ptr<Waiter> waiter_;
  std::optional<Outcome> outcome_;  // came before the caller waited
  bool left_ = false;
};

}  // namespace gpu_telemetry::queue
