// Lets writers pass side by side, and holds them while the head is exchanged.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace gpu_telemetry::storage::embedded {

// A shared lock whose exclusive side is never starved.
class WriteGate {
 public:
  void lock_shared() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !closed_; });
    ++inside_;
  }
  void unlock_shared() {
    const std::lock_guard lock(mutex_);
    if (--inside_ == 0) changed_.notify_all();
  }
  // Waits for those inside to leave; nobody enters until unlock.
  void lock() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !closed_; });
    closed_ = true;
    changed_.wait(lock, [&] { return inside_ == 0; });
  }
  void unlock() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t inside_ = 0;
  bool closed_ = false;
};

}  // namespace gpu_telemetry::storage::embedded
