// The queue's functions as commands to Redis. Shared by the queue and its running coroutines.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/clock.h"
#include "queue/redis/redis_connection.h"
#include "queue/redis/redis_queue.h"
#include "queue/redis/redis_scripts.h"
#include "queue/redis/redis_waits.h"

namespace gpu_telemetry::queue {

// Thread-safe. Functions as in message_queue.h.
class RedisEngine : public std::enable_shared_from_this<RedisEngine> {
 public:
  RedisEngine(RedisQueueOptions options, const Clock& clock, boost::asio::any_io_executor io);
  void start();
  void stop();
  void shut_down();
  void advance_time(std::chrono::milliseconds by);

  Async<Result<std::vector<PublishResult>>> publish(std::string topic,
                                                    std::vector<OutgoingMessage> messages,
                                                    std::optional<ShardProgress> progress);
  Async<Result<ShardAssignment>> shards(ShardRequest request);
  Async<Result<std::vector<Delivery>>> fetch(FetchRequest request);
  Async<Result<std::vector<Settled>>> ack(SettleRequest request);
  Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options);
  Async<Result<std::vector<Settled>>> extend(SettleRequest request,
                                             std::chrono::milliseconds visibility);
  Async<Result<std::vector<TopicStatistics>>> statistics();
  Async<Result<std::vector<DeadLetter>>> dead_letters(std::string topic, std::string group,
                                                      std::size_t max);
  // `script`: kRedrive or kPurge.
  Async<Result<std::uint64_t>> for_letters(RedisScript script, std::string topic, std::string group,
                                           std::vector<std::string> message_ids);
  Async<Result<void>> delete_group(std::string topic, std::string group);
  Async<Result<std::vector<std::string>>> check();

 private:
  static Error shut_down_error();
  RedisCommand script(RedisScript script, std::string_view topic, std::size_t arguments,
                      std::size_t bytes = 0) const;
  RedisCommand group_script(RedisScript script, std::string_view topic, std::string_view group,
                            std::size_t arguments, std::size_t bytes = 0) const;
  RedisCommand publish_command(const std::string& topic,
                               const std::vector<OutgoingMessage>& messages,
                               const ShardProgress* progress) const;
  RedisCommand fetch_command(const FetchRequest& request) const;
  Async<Result<RedisReply>> call(RedisCommand command);
  // For what a caller may leave without an answer.
  Async<Result<RedisReply>> call_until_cancelled(RedisCommand command);
  Async<Result<std::vector<RedisReply>>> call_all(std::vector<RedisCommand> commands);
  template <class Arguments>
  Async<Result<std::vector<Settled>>> settle(RedisScript script, const SettleRequest& request,
                                             std::size_t extra, Arguments add);
  void hand_back(const FetchRequest& request, const std::vector<Delivery>& deliveries);
  Async<void> tidy();

  const RedisQueueOptions options_;
  const std::string prefix_;
  const std::string meta_;
  const Clock& clock_;
  const boost::asio::any_io_executor io_;
  const std::shared_ptr<RedisWaits> waits_;
  // Whether the listener is connected.
  const std::shared_ptr<std::atomic<bool>> hears_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<RedisConnection> commands_;
  std::shared_ptr<RedisConnection> listener_;
  boost::asio::steady_timer tidy_timer_;
  std::atomic<std::int64_t> offset_{0};
  std::atomic<bool> shut_down_{false};
};

}  // namespace gpu_telemetry::queue
