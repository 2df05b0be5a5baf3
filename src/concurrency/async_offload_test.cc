#include "concurrency/async_offload.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <latch>
#include <memory>
#include <string>
#include <thread>

namespace gpu_telemetry::concurrency {
namespace {

namespace asio = boost::asio;

struct Ran {
  std::thread::id worked_on;
  std::thread::id resumed_on;
  std::string value;
};

asio::awaitable<void> offload_once(asio::thread_pool& pool, Ran& ran) {
  const auto work = [&ran] {
    ran.worked_on = std::this_thread::get_id();
    return std::make_unique<std::string>("done");
  };
  const std::unique_ptr<std::string> value = co_await async_offload(pool, work);
  ran.resumed_on = std::this_thread::get_id();
  ran.value = *value;
}

TEST(AsyncOffload, WorksOnThePoolAndResumesOnTheCallersThread) {
  asio::thread_pool pool(1);
  asio::io_context caller;
  Ran ran;
  asio::co_spawn(caller, offload_once(pool, ran), asio::detached);
  caller.run();
  EXPECT_EQ(ran.value, "done");
  EXPECT_EQ(ran.resumed_on, std::this_thread::get_id());
  EXPECT_NE(ran.worked_on, std::this_thread::get_id());
}

asio::awaitable<void> offload_and_count_down(asio::thread_pool& pool, std::latch& both) {
  const auto work = [&both] {
    both.arrive_and_wait();
    return true;
  };
  co_await async_offload(pool, work);
}

TEST(AsyncOffload, LetsTheCallersThreadGoOnMeanwhile) {
  asio::thread_pool pool(2);
  asio::io_context caller;
  std::latch both(2);  // either work ends only while the other runs too
  asio::co_spawn(caller, offload_and_count_down(pool, both), asio::detached);
  asio::co_spawn(caller, offload_and_count_down(pool, both), asio::detached);
  caller.run();
  EXPECT_TRUE(both.try_wait());
}

}  // namespace
}  // namespace gpu_telemetry::concurrency
