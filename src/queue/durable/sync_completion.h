// What a publish waits for: that its records are on the device.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

// Completed once, from any thread; awaited at most once, before or after.
class SyncCompletion {
 public:
  void complete(Result<void> outcome);

  // Resumes on the caller's executor. Cannot be cancelled: what is being written is written.
  static Async<Result<void>> wait(std::shared_ptr<SyncCompletion> completion);

  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void resume(Result<void> outcome) = 0;
  };

 private:
  struct Start;

  std::mutex mutex_;
  std::optional<Result<void>> outcome_;
  std::unique_ptr<Waiter> waiter_;
};

}  // namespace gpu_telemetry::queue
