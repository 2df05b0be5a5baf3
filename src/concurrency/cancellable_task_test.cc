#include "concurrency/cancellable_task.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <thread>

namespace gpu_telemetry::concurrency {
namespace {

namespace asio = boost::asio;
using Strand = asio::strand<asio::io_context::executor_type>;
using Task = CancellableTask<Strand>;

class CancellableTaskTest : public ::testing::Test {
 protected:
  static asio::awaitable<int> wait_for_ever() {
    asio::steady_timer timer(co_await asio::this_coro::executor,
                             std::chrono::steady_clock::time_point::max());
    co_await timer.async_wait(asio::use_awaitable);
    co_return 1;
  }
  static asio::awaitable<int> answer() { co_return 42; }

  void start(asio::awaitable<int> work) {
    task_->start(std::move(work), [this](const std::exception_ptr& thrown, int value) {
      ++ends_;
      value_ = value;
      thrown_ = thrown;
    });
  }

  asio::io_context context_;
  const std::shared_ptr<Task> task_ = std::make_shared<Task>(asio::make_strand(context_));
  int ends_ = 0;
  int value_ = 0;
  std::exception_ptr thrown_;
};

TEST_F(CancellableTaskTest, EndsAsItsWorkDoes) {
  start(answer());
  context_.run();
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(value_, 42);
  EXPECT_FALSE(thrown_);
}

TEST_F(CancellableTaskTest, AnotherThreadEndsWhatItWaitsFor) {
  start(wait_for_ever());
  context_.poll();
  const std::jthread other([this] { task_->cancel(); });
  context_.run();
  EXPECT_EQ(ends_, 1);
  ASSERT_TRUE(thrown_);
  try {
    std::rethrow_exception(thrown_);
  } catch (const boost::system::system_error& error) {
    EXPECT_EQ(error.code(), asio::error::operation_aborted);
  }
}

TEST_F(CancellableTaskTest, DoesNotBeginWhatWasCancelledBefore) {
  task_->cancel();
  start(answer());
  context_.run();
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(value_, 0);
  EXPECT_TRUE(thrown_);
}

TEST_F(CancellableTaskTest, MayBeCancelledAgainAndWhenItHasEnded) {
  start(wait_for_ever());
  task_->cancel();
  task_->cancel();
  context_.run();
  task_->cancel();
  context_.restart();
  context_.run();
  EXPECT_EQ(ends_, 1);
  EXPECT_TRUE(thrown_);
}

}  // namespace
}  // namespace gpu_telemetry::concurrency
