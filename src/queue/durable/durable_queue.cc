#include "queue/durable/durable_queue.h"

#include <algorithm>
#include <functional>

#include "log/segment_log.h"
#include "observability/log.h"
#include "queue/durable/queue_writer.h"
#include "queue/ledger_engine.h"

namespace gpu_telemetry::queue {
namespace {

// The engine's suspended fetches may outlive the queue; its journal does not, so the engine is shut
// down first and calls it no more.
class DurableQueue final : public LedgerQueue {
 public:
  DurableQueue(std::unique_ptr<QueueWriter> writer, std::shared_ptr<LedgerEngine> engine)
      : engine_(std::move(engine)), writer_(std::move(writer)) {}
  ~DurableQueue() override { engine_->shut_down(); }

  Async<Result<std::vector<PublishResult>>> publish(
      std::string topic, std::vector<OutgoingMessage> messages,
      std::optional<ShardProgress> progress) override {
    std::shared_ptr<SyncCompletion> stored;
    const auto accept = [&](Ledger& ledger, Now now) {
      auto accepted = ledger.accept(now, topic, std::move(messages), std::move(progress));
      if (accepted) stored = writer_->stage_publish(*accepted);
      return accepted;
    };
    auto accepted = engine_->run(accept);
    if (!accepted) co_return accepted.error();
    Result<std::vector<PublishResult>> results = std::move(accepted->results);
    co_return co_await once_stored(std::move(stored), std::move(results));
  }

  Async<Result<ShardAssignment>> shards(ShardRequest request) override {
    co_return engine_->run([&](Ledger& ledger, Now now) { return ledger.shards(now, request); });
  }

  Async<Result<std::vector<Delivery>>> fetch(FetchRequest request) override {
    const auto engine = engine_;
    std::shared_ptr<SyncCompletion> stored;
    const auto ensure = [&](Ledger& ledger, Now now) {
      auto created = ledger.ensure_group(now, request.topic, request.group);
      if (created && *created) stored = writer_->stage_completion();
      return created;
    };
    auto ensured = engine->run(ensure);
    const auto created = co_await once_stored(std::move(stored), std::move(ensured));
    if (!created) co_return created.error();
    co_return co_await engine->fetch(std::move(request));
  }

  Async<Result<std::vector<Settled>>> ack(SettleRequest request) override {
    co_return engine_->run([&](Ledger& ledger, Now now) { return ledger.ack(now, request); });
  }

  Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options) override {
    std::shared_ptr<SyncCompletion> stored;
    const auto work = [&](Ledger& ledger, Now now) {
      auto settled = ledger.nack(now, request, options);
      if (writer_->staged_must_sync()) stored = writer_->stage_completion();
      return settled;
    };
    auto settled = engine_->run(work);
    co_return co_await once_stored(std::move(stored), std::move(settled));
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
    return for_letters(&Ledger::redrive, std::move(topic), std::move(group),
                       std::move(message_ids));
  }

  Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                     std::vector<std::string> message_ids) override {
    return for_letters(&Ledger::purge, std::move(topic), std::move(group), std::move(message_ids));
  }

  Async<Result<void>> delete_group(std::string topic, std::string group) override {
    std::shared_ptr<SyncCompletion> stored;
    const auto stage = [&] { stored = writer_->stage_completion(); };
    auto deleted = engine_->delete_group(topic, group, stage);
    if (!deleted) co_return deleted.error();
    co_return co_await SyncCompletion::wait(std::move(stored));
  }

  void poke() override { engine_->poke(); }
  void shut_down() override { engine_->shut_down(); }

 private:
  using ForLetters = Result<std::uint64_t> (Ledger::*)(Now now, const std::string& topic,
                                                       const std::string& group,
                                                       const std::vector<std::string>& message_ids);

  // What was done, once its records are on disk. `stored` is null where there are none.
  template <class T>
  static Async<Result<T>> once_stored(std::shared_ptr<SyncCompletion> stored, Result<T> done) {
    if (stored) {
      const Result<void> outcome = co_await SyncCompletion::wait(std::move(stored));
      if (!outcome) co_return outcome.error();
    }
    co_return done;
  }

  Async<Result<std::uint64_t>> for_letters(ForLetters which, std::string topic, std::string group,
                                           std::vector<std::string> message_ids) {
    std::shared_ptr<SyncCompletion> stored;
    const auto work = [&](Ledger& ledger, Now now) {
      auto done = (ledger.*which)(now, topic, group, message_ids);
      if (done && *done > 0) stored = writer_->stage_completion();
      return done;
    };
    auto done = engine_->run(work);
    co_return co_await once_stored(std::move(stored), std::move(done));
  }

  const std::shared_ptr<LedgerEngine> engine_;
  const std::unique_ptr<QueueWriter> writer_;
};

void report_recovery(const log::RecoveryReport& found, std::uint64_t unreadable,
                     const std::string& directory) {
  for (const std::string& damage : found.damage) {
    observability::log_error("The queue's log is damaged",
                             {{"directory", directory}, {"damage", damage}});
  }
  if (unreadable > 0) {
    observability::log_error("Records of the queue's log make no sense and were skipped",
                             {{"directory", directory}, {"records", unreadable}});
  }
}

}  // namespace

Result<std::unique_ptr<LedgerQueue>> open_durable_queue(DurableQueueOptions options,
                                                        const Clock& clock,
                                                        boost::asio::any_io_executor timers) {
  QueueOptions& limits = options.queue;
  // A message must fit into a segment with room to spare.
  limits.max_message_size =
      std::min(limits.max_message_size, ByteSize{options.segment_size.bytes / 2});
  auto writer = std::make_unique<QueueWriter>(clock, options.segment_size, options.health);
  QueueReplay replay(limits, read(clock));

  log::SegmentLogOptions log_options;
  log_options.directory = options.directory;
  log_options.segment_size = options.segment_size;
  log_options.max_record_size = options.segment_size;
  log_options.files = options.files;
  // While the log opens, the state is the replay's.
  auto state =
      std::make_shared<std::function<std::vector<std::pair<std::uint8_t, std::string>>()>>();
  *state = [&replay, &clock, size = options.segment_size.bytes / 4] {
    return checkpoint_records(replay.last_change(), replay.ledger().checkpoint(read(clock)), size);
  };
  log_options.segment_preamble = [state] { return (*state)(); };
  log::RecoveryReport found;
  auto log = log::SegmentLog::open(
      log_options,
      [&replay](const log::Record& record) {
        replay.apply(record.type, record.payload, record.position.segment);
        return Result<void>();
      },
      &found);
  if (!log) return log.error().at("queue");
  report_recovery(found, replay.unreadable(), options.directory);

  LedgerIdentity identity = replay.identity();
  identity.generation = (identity.generation + 1) & 0xffff;
  const std::uint64_t awaited = replay.ledger().finish_replay(identity, writer.get());
  if (awaited > 0) {
    // As a rule these were acked or never acknowledged; with damage above they may be lost.
    observability::log_info("Messages named in the queue's checkpoint are not in its log",
                            {{"directory", options.directory}, {"messages", awaited}});
  }
  auto engine = std::make_shared<LedgerEngine>(std::move(replay.ledger()), clock, std::move(timers),
                                               writer.get());
  *state = [started = writer.get()] { return started->checkpoint(); };
  if (auto ok = writer->start(engine, std::move(*log), replay, identity.generation); !ok) {
    engine->shut_down();
    return ok.error().at("queue");
  }
  if (options.consumers_are_local) {
    const auto release = [](Ledger& ledger, Now now) {
      ledger.release_all(now);
      return Result<void>();
    };
    if (auto released = engine->run(release); !released) return released.error();
  }
  engine->poke();
  return std::make_unique<DurableQueue>(std::move(writer), std::move(engine));
}

}  // namespace gpu_telemetry::queue
