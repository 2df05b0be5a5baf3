#include "queue/redis/redis_queue.h"

#include "queue/redis/redis_engine.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {
namespace {

// The engine is held by every running function, so that the queue may be destroyed before they end.
class RedisQueueOfEngine final : public RedisQueue {
 public:
  explicit RedisQueueOfEngine(std::shared_ptr<RedisEngine> engine) : engine_(std::move(engine)) {
    engine_->start();
  }
  ~RedisQueueOfEngine() override { engine_->stop(); }

  Async<Result<std::vector<PublishResult>>> publish(
      std::string topic, std::vector<OutgoingMessage> messages,
      std::optional<ShardProgress> progress) override {
    const auto engine = engine_;
    co_return co_await engine->publish(std::move(topic), std::move(messages), std::move(progress));
  }
  Async<Result<ShardAssignment>> shards(ShardRequest request) override {
    const auto engine = engine_;
    co_return co_await engine->shards(std::move(request));
  }
  Async<Result<std::vector<Delivery>>> fetch(FetchRequest request) override {
    const auto engine = engine_;
    co_return co_await engine->fetch(std::move(request));
  }
  Async<Result<std::vector<Settled>>> ack(SettleRequest request) override {
    const auto engine = engine_;
    co_return co_await engine->ack(std::move(request));
  }
  Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options) override {
    const auto engine = engine_;
    co_return co_await engine->nack(std::move(request), std::move(options));
  }
  Async<Result<std::vector<Settled>>> extend(SettleRequest request,
                                             std::chrono::milliseconds visibility) override {
    const auto engine = engine_;
    co_return co_await engine->extend(std::move(request), visibility);
  }
  Async<Result<std::vector<TopicStatistics>>> statistics() override {
    const auto engine = engine_;
    co_return co_await engine->statistics();
  }
  Async<Result<std::vector<DeadLetter>>> dead_letters(std::string topic, std::string group,
                                                      std::size_t max) override {
    const auto engine = engine_;
    co_return co_await engine->dead_letters(std::move(topic), std::move(group), max);
  }
  Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                       std::vector<std::string> message_ids) override {
    const auto engine = engine_;
    co_return co_await engine->for_letters(RedisScript::kRedrive, std::move(topic),
                                           std::move(group), std::move(message_ids));
  }
  Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                     std::vector<std::string> message_ids) override {
    const auto engine = engine_;
    co_return co_await engine->for_letters(RedisScript::kPurge, std::move(topic), std::move(group),
                                           std::move(message_ids));
  }
  Async<Result<void>> delete_group(std::string topic, std::string group) override {
    const auto engine = engine_;
    co_return co_await engine->delete_group(std::move(topic), std::move(group));
  }
  Async<Result<std::vector<std::string>>> check() override {
    const auto engine = engine_;
    co_return co_await engine->check();
  }
  void advance_time(std::chrono::milliseconds by) override { engine_->advance_time(by); }
  void shut_down() override { engine_->shut_down(); }

 private:
  const std::shared_ptr<RedisEngine> engine_;
};

}  // namespace

Result<std::unique_ptr<RedisQueue>> make_redis_queue(RedisQueueOptions options, const Clock& clock,
                                                     boost::asio::any_io_executor io) {
  if (!is_valid_name(options.name)) {
    return invalid("\"" + options.name +
                   "\" is not a queue's name: 1 to 100 characters of A-Z a-z 0-9 . _ - are "
                   "accepted");
  }
  auto engine = std::make_shared<RedisEngine>(std::move(options), clock, std::move(io));
  return std::unique_ptr<RedisQueue>(std::make_unique<RedisQueueOfEngine>(std::move(engine)));
}

}  // namespace gpu_telemetry::queue
