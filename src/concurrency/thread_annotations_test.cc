#include "concurrency/thread_annotations.h"

#include <gtest/gtest.h>

#include <thread>

namespace gpu_telemetry::concurrency {
namespace {

TEST(MutexLock, HoldsTheMutexUntilItsEndButForWhatItUnlocks) {
  Mutex mutex;
  const auto is_free = [&mutex] {
    bool taken = false;
    std::jthread other([&] {
      if (!mutex.try_lock()) return;
      taken = true;
      mutex.unlock();
    });
    other.join();
    return taken;
  };
  {
    MutexLock lock(mutex);
    EXPECT_FALSE(is_free());
    lock.unlock();
    EXPECT_TRUE(is_free());
    lock.lock();
    EXPECT_FALSE(is_free());
  }
  EXPECT_TRUE(is_free());
}

TEST(ConditionVariable, WakesAWaiterWithTheMutexHeld) {
  Mutex mutex;
  ConditionVariable changed;
  int value = 0;
  std::jthread setter([&] {
    const MutexLock lock(mutex);
    value = 7;
    changed.notify_one();
  });
  const MutexLock lock(mutex);
  while (value == 0) changed.wait(mutex);
  EXPECT_EQ(value, 7);
}

TEST(ConditionVariable, SaysWhenTheTimeHasCome) {
  Mutex mutex;
  ConditionVariable changed;
  const MutexLock lock(mutex);
  EXPECT_FALSE(changed.wait_until(mutex, std::chrono::steady_clock::time_point{}));
}

}  // namespace
}  // namespace gpu_telemetry::concurrency
