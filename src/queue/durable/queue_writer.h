// Writes what a ledger's journal is told to the segment log, on a thread of its own.
//
// Changes gather in a batch while the one before it is written; a batch is one append, and one sync
// when something in it must be safe. Acks and deliveries alone wait some milliseconds for company,
// and are synced when nothing else has been for a while.
//
// Locks: the journal's functions are called with the engine's lock held and take the writer's; the
// thread takes the engine's lock without holding its own.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "log/segment_log.h"
#include "observability/health.h"
#include "observability/log.h"
#include "queue/durable/queue_records.h"
#include "queue/durable/sync_completion.h"
#include "queue/ledger_engine.h"

namespace gpu_telemetry::queue {

class QueueWriter final : public LedgerJournal {
 public:
  QueueWriter(const Clock& clock, ByteSize segment_size, observability::Health* health);
  // Writes what is left and ends the thread. The log is closed.
  ~QueueWriter() override;

  // Records the opening and starts the thread. Call once.
  Result<void> start(std::shared_ptr<LedgerEngine> engine, std::unique_ptr<log::SegmentLog> log,
                     const QueueReplay& replay, std::uint64_t generation);

  // The whole state as records; call after start. For the log's option of that name.
  std::vector<std::pair<std::uint8_t, std::string>> checkpoint();

  // Within the engine's lock, after changes: completed when they are on the device.
  std::shared_ptr<SyncCompletion> stage_completion();
  // The same for accepted messages, which are committed then or withdrawn.
  std::shared_ptr<SyncCompletion> stage_publish(const Ledger::Accepted& accepted);
  // Whether a change since the last end_of_changes must be safe before its caller goes on.
  bool staged_must_sync() const { return staged_.sync; }

  void topic_created(std::uint32_t topic, std::string_view name,
                     std::uint64_t next_sequence) override;
  void topic_removed(std::uint32_t topic) override;
  void group_created(std::uint32_t topic, std::string_view group) override;
  void group_deleted(std::uint32_t topic, std::string_view group) override;
  void accepted(std::uint32_t topic, const HeldMessage& message, std::string_view deduplication_id,
                bool in_progress) override;
  void progressed(std::uint32_t topic, const ShardProgress& progress, std::uint64_t first,
                  std::uint64_t end) override;
  void board_changed(std::uint32_t topic, std::string_view source,
                     const ShardBoard& board) override;
  void board_removed(std::uint32_t topic, std::string_view source) override;
  void changed(std::uint32_t topic, std::string_view group,
               std::span<const GroupEntry> entries) override;
  void died(std::uint32_t topic, std::string_view group, const GroupEntry& entry,
            const DeathRecord& death) override;
  void settled(std::uint32_t topic, std::string_view group,
               std::span<const std::uint64_t> sequences) override;
  void freed(std::uint32_t topic, const HeldMessage& message) override;
  void end_of_changes() override;

 private:
  struct Item {
    QueueRecord type{};
    std::size_t begin = 0;  // in the batch's bytes
    std::size_t end = 0;
    Payload payload;  // follows them, when not null
    std::uint32_t topic = 0;
    std::uint64_t sequence = 0;
    std::uint64_t segment = 0;  // that it was written to
  };
  struct Publish {
    Ledger::Accepted accepted;  // without its results
    bool repeats = false;       // answers with messages that are not its own
    // Of the publish that it may repeat a message of, and that was withdrawn.
    std::optional<Error> failure;
    std::shared_ptr<SyncCompletion> completion;
  };
  struct Batch {
    std::string bytes;
    std::vector<Item> items;
    std::vector<Publish> publishes;
    std::vector<std::shared_ptr<SyncCompletion>> completions;
    bool sync = false;

    bool empty() const { return items.empty() && publishes.empty() && completions.empty(); }
    void take(Batch& other);
    void clear();
  };

  std::uint64_t next_change() { return ++change_; }
  void add(QueueRecord type, std::size_t begin, bool sync);

  void run();
  void write(Batch& batch);
  Result<void> append(Batch& batch);
  Result<void> append_some(Batch& batch, std::size_t first, std::size_t end);
  Result<void> append_checkpoint();
  void finish(Batch& batch, const Result<void>& outcome);
  void fail_repetitions(const Publish& withdrawn);
  void reclaim();
  bool remove_unused();
  Result<void> move_forward(std::uint64_t segment);
  std::optional<std::uint64_t> segment_to_move(const std::vector<std::uint64_t>& segments);

  const Clock& clock_;
  const std::uint64_t segment_size_;
  observability::Health* const health_;  // may be null
  std::shared_ptr<LedgerEngine> engine_;
  std::unique_ptr<log::SegmentLog> log_;
  observability::LogLimiter limiter_;

  // Guarded by the engine's lock.
  Batch staged_;
  std::uint64_t change_ = 0;
  std::map<std::uint64_t, std::uint64_t> live_;  // bytes of held messages, by segment

  std::mutex mutex_;
  std::condition_variable wake_;
  Batch pending_;
  bool stopping_ = false;

  // Of the thread.
  bool unsynced_ = false;           // records were appended since the last sync
  bool checkpoint_wanted_ = false;  // records are missing from the log
  bool failed_for_good_ = false;

  std::thread thread_;
};

}  // namespace gpu_telemetry::queue
