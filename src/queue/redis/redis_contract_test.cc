// The contract of every queue, on a real redis-server.
#include <boost/asio/executor_work_guard.hpp>
#include <thread>

#include "domain/clock.h"
#include "queue/queue_contract.h"
#include "queue/redis/redis_queue.h"
#include "queue/redis/redis_test_server.h"
#include "queue/shard_contract.h"

namespace gpu_telemetry::queue {
namespace {

// One for all tests; each has a queue of its own name.
RedisTestServer& server() {
  static RedisTestServer started;
  return started;
}

class RedisUnderTest final : public QueueUnderTest {
 public:
  explicit RedisUnderTest(QueueOptions options) {
    static int number = 0;
    RedisQueueOptions redis;
    redis.queue = std::move(options);
    redis.server = server().address();
    redis.name = "test-" + std::to_string(++number);
    queue_ = *make_redis_queue(std::move(redis), clock_, io_.get_executor());
    thread_ = std::thread([this] { io_.run(); });
  }
  ~RedisUnderTest() override {
    queue_.reset();
    work_.reset();
    thread_.join();
  }
  MessageQueue& queue() override { return *queue_; }
  void advance(std::chrono::milliseconds by) override {
    clock_.advance(by);
    queue_->advance_time(by);
  }

 private:
  // How long a fetch waits goes by this clock; what Redis knows of, by Redis's own.
  ManualClock clock_{from_unix_milliseconds(1'760'000'000'000)};
  // A thread of its own: the suite does not run its context all the time.
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::unique_ptr<RedisQueue> queue_;
  std::thread thread_;
};

std::unique_ptr<QueueUnderTest> make_redis(QueueOptions options, boost::asio::any_io_executor) {
  return std::make_unique<RedisUnderTest>(std::move(options));
}

INSTANTIATE_TEST_SUITE_P(Redis, QueueContract, ::testing::Values(&make_redis));
INSTANTIATE_TEST_SUITE_P(Redis, ShardContract, ::testing::Values(&make_redis));

}  // namespace
}  // namespace gpu_telemetry::queue
