#include "concurrency/spawn.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <stdexcept>

namespace gpu_telemetry::concurrency {
namespace {

boost::asio::awaitable<void> set_to_true(bool& done) {
  done = true;
  co_return;
}

boost::asio::awaitable<void> throw_something() {
  throw std::runtime_error("out of paper");
  co_return;
}

TEST(Spawn, RunsToTheEndWithoutAnybodyWaiting) {
  boost::asio::io_context context;
  bool done = false;
  spawn(context.get_executor(), set_to_true(done));
  context.run();
  EXPECT_TRUE(done);
}

TEST(SpawnDeathTest, EndsTheProcessAndSaysWhyWhenATaskThrows) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    boost::asio::io_context context;
    spawn(context.get_executor(), throw_something());
    context.run();
  };
  EXPECT_DEATH(run(), "out of paper");
}

}  // namespace
}  // namespace gpu_telemetry::concurrency
