// Says which mutex guards what, so that clang can check it (-Wthread-safety; `make lint`). Other
// compilers see nothing of it. The names are those of clang's documentation ("Thread Safety
// Analysis"), with a prefix.
//
//     mutable Mutex mutex_;
//     std::map<std::string, int> counts_ GPU_TELEMETRY_GUARDED_BY(mutex_);
//
// Included by any room but domain; includes nothing of ours.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define GPU_TELEMETRY_ANNOTATE(x) __attribute__((x))
#else
#define GPU_TELEMETRY_ANNOTATE(x)
#endif

// On a field: read and written only while `mutex` is held.
#define GPU_TELEMETRY_GUARDED_BY(mutex) GPU_TELEMETRY_ANNOTATE(guarded_by(mutex))
// On a pointer field: what it points to is.
#define GPU_TELEMETRY_PT_GUARDED_BY(mutex) GPU_TELEMETRY_ANNOTATE(pt_guarded_by(mutex))
// On a function: called while the mutexes are held, or while they are not.
#define GPU_TELEMETRY_REQUIRES(...) GPU_TELEMETRY_ANNOTATE(requires_capability(__VA_ARGS__))
#define GPU_TELEMETRY_EXCLUDES(...) GPU_TELEMETRY_ANNOTATE(locks_excluded(__VA_ARGS__))
// On a function whose locking the analysis cannot follow; say why beside it.
#define GPU_TELEMETRY_NO_THREAD_SAFETY_ANALYSIS GPU_TELEMETRY_ANNOTATE(no_thread_safety_analysis)

namespace gpu_telemetry::concurrency {

// std::mutex, which libstdc++ does not annotate.
class GPU_TELEMETRY_ANNOTATE(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() GPU_TELEMETRY_ANNOTATE(acquire_capability()) { mutex_.lock(); }
  void unlock() GPU_TELEMETRY_ANNOTATE(release_capability()) { mutex_.unlock(); }
  bool try_lock() GPU_TELEMETRY_ANNOTATE(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};

// Holds a mutex for as long as it lives, but for what lies between unlock() and lock().
class GPU_TELEMETRY_ANNOTATE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) GPU_TELEMETRY_ANNOTATE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() GPU_TELEMETRY_ANNOTATE(release_capability()) {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() GPU_TELEMETRY_ANNOTATE(release_capability()) {
    held_ = false;
    mutex_.unlock();
  }
  void lock() GPU_TELEMETRY_ANNOTATE(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// Waits with the mutex released, and returns with it held. Write the condition as a loop around
// wait(): the analysis does not see into a predicate.
class ConditionVariable {
 public:
  void wait(Mutex& mutex) GPU_TELEMETRY_REQUIRES(mutex) { condition_.wait(mutex); }
  // False when the time came first.
  template <class Clock, class Duration>
  bool wait_until(Mutex& mutex, const std::chrono::time_point<Clock, Duration>& deadline)
      GPU_TELEMETRY_REQUIRES(mutex) {
    return condition_.wait_until(mutex, deadline) == std::cv_status::no_timeout;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace gpu_telemetry::concurrency
