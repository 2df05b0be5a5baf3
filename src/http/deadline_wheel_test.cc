#include "http/deadline_wheel.h"

#include <gtest/gtest.h>

#include <random>

namespace gpu_telemetry::http {
namespace {

using namespace std::chrono_literals;

class Entry final : public DeadlineWheel::Entry {
 public:
  void on_deadline() override { ++reached; }
  int reached = 0;
};

constexpr SteadyTime kStart{1000s};

TEST(DeadlineWheelTest, ReachesADeadlineAtTheTickAfterItAndNeverBefore) {
  DeadlineWheel wheel(kStart, 10ms);
  Entry entry;
  wheel.set(entry, kStart + 25ms);
  wheel.tick(kStart + 24ms);
  EXPECT_EQ(entry.reached, 0);
  EXPECT_EQ(wheel.tick(kStart + 30ms), kStart + 40ms);
  EXPECT_EQ(entry.reached, 1);
  wheel.tick(kStart + 60s);
  EXPECT_EQ(entry.reached, 1);
}

TEST(DeadlineWheelTest, FollowsADeadlineThatMovesEitherWay) {
  DeadlineWheel wheel(kStart, 10ms);
  Entry later;
  Entry sooner;
  Entry cleared;
  wheel.set(later, kStart + 20ms);
  wheel.set(later, kStart + 500ms);
  wheel.set(sooner, kStart + 500ms);
  wheel.set(sooner, kStart + 20ms);
  wheel.set(cleared, kStart + 20ms);
  DeadlineWheel::clear(cleared);
  wheel.tick(kStart + 490ms);
  EXPECT_EQ(later.reached, 0);
  EXPECT_EQ(sooner.reached, 1);
  EXPECT_EQ(cleared.reached, 0);
  wheel.tick(kStart + 510ms);
  EXPECT_EQ(later.reached, 1);
}

TEST(DeadlineWheelTest, KeepsDeadlinesFartherAwayThanOneTurn) {
  DeadlineWheel wheel(kStart, 10ms);
  Entry entry;
  wheel.set(entry, kStart + 1h);
  wheel.tick(kStart + 1h - 1ms);
  EXPECT_EQ(entry.reached, 0);
  wheel.tick(kStart + 1h);
  EXPECT_EQ(entry.reached, 1);
}

TEST(DeadlineWheelTest, ForgetsAnEntryThatIsDestroyed) {
  DeadlineWheel wheel(kStart, 10ms);
  {
    Entry entry;
    wheel.set(entry, kStart + 20ms);
  }
  wheel.tick(kStart + 1s);
}

TEST(DeadlineWheelTest, ReachesEveryDeadlineWithinATickWhateverTheOrder) {
  std::mt19937 random(1);
  DeadlineWheel wheel(kStart, 10ms);
  std::vector<Entry> entries(300);
  std::vector<SteadyTime> deadlines(entries.size());
  SteadyTime now = kStart;
  for (int step = 0; step < 3000; ++step) {
    const std::size_t i = random() % entries.size();
    entries[i].reached = 0;
    deadlines[i] = now + std::chrono::milliseconds{random() % 20000};
    wheel.set(entries[i], deadlines[i]);
    now += std::chrono::milliseconds{random() % 30};
    wheel.tick(now);
    for (std::size_t k = 0; k < entries.size(); ++k) {
      if (deadlines[k] == SteadyTime{}) continue;
      if (now < deadlines[k]) {
        ASSERT_EQ(entries[k].reached, 0);
      }
      if (now >= deadlines[k] + 20ms) {
        ASSERT_EQ(entries[k].reached, 1);
      }
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::http
