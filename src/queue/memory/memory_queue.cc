#include "queue/memory/memory_queue.h"

#include "queue/ledger_engine.h"

namespace gpu_telemetry::queue {
namespace {

// Each function names its work before it runs it; nothing but fetch suspends. The engine is held by
// every running function, so that the queue may be destroyed before they end.
class MemoryQueue final : public LedgerQueue {
 public:
  MemoryQueue(QueueOptions options, const Clock& clock, boost::asio::any_io_executor timers)
      : engine_(std::make_shared<LedgerEngine>(
            Ledger(std::move(options), LedgerIdentity{random_epoch(), 0}), clock,
            std::move(timers))) {}
  ~MemoryQueue() override { engine_->shut_down(); }

  Async<Result<std::vector<PublishResult>>> publish(
      std::string topic, std::vector<OutgoingMessage> messages,
      std::optional<ShardProgress> progress) override {
    co_return engine_->run([&](Ledger& ledger, Now now) {
      return ledger.publish(now, topic, std::move(messages), std::move(progress));
    });
  }

  Async<Result<ShardAssignment>> shards(ShardRequest request) override {
    co_return engine_->run([&](Ledger& ledger, Now now) { return ledger.shards(now, request); });
  }

  Async<Result<std::vector<Delivery>>> fetch(FetchRequest request) override {
    const auto engine = engine_;
    co_return co_await engine->fetch(std::move(request));
  }

  Async<Result<std::vector<Settled>>> ack(SettleRequest request) override {
    co_return engine_->run([&](Ledger& ledger, Now now) { return ledger.ack(now, request); });
  }
  Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options) override {
    co_return engine_->run(
        [&](Ledger& ledger, Now now) { return ledger.nack(now, request, options); });
  }
  Async<Result<std::vector<Settled>>> extend(SettleRequest request,
                                             std::chrono::milliseconds visibility) override {
    co_return engine_->run(
        [&](Ledger& ledger, Now now) { return ledger.extend(now, request, visibility); });
  }

  Async<Result<std::vector<TopicStatistics>>> statistics() override {
    co_return engine_->run([&](Ledger& ledger, Now now) {
      return Result<std::vector<TopicStatistics>>(ledger.statistics(now));
    });
  }

  Async<Result<std::vector<DeadLetter>>> dead_letters(std::string topic, std::string group,
                                                      std::size_t max) override {
    co_return engine_->run(
        [&](Ledger& ledger, Now now) { return ledger.dead_letters(now, topic, group, max); });
  }
  Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                       std::vector<std::string> message_ids) override {
    co_return engine_->run(
        [&](Ledger& ledger, Now now) { return ledger.redrive(now, topic, group, message_ids); });
  }
  Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                     std::vector<std::string> message_ids) override {
    co_return engine_->run(
        [&](Ledger& ledger, Now now) { return ledger.purge(now, topic, group, message_ids); });
  }
  Async<Result<void>> delete_group(std::string topic, std::string group) override {
    co_return engine_->delete_group(topic, group);
  }

  void poke() override { engine_->poke(); }
  void shut_down() override { engine_->shut_down(); }

 private:
  const std::shared_ptr<LedgerEngine> engine_;
};

}  // namespace

std::unique_ptr<LedgerQueue> make_memory_queue(QueueOptions options, const Clock& clock,
                                               boost::asio::any_io_executor timers) {
  return std::make_unique<MemoryQueue>(std::move(options), clock, std::move(timers));
}

}  // namespace gpu_telemetry::queue
