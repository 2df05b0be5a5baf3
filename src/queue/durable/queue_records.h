// The records of the durable queue's log as bytes. docs/formats/queue-log.md has the layout.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "domain/result.h"
#include "queue/ledger.h"

namespace gpu_telemetry::queue {

// Types of the log's records.
enum class QueueRecord : std::uint8_t {
  kCheckpoint = 1,
  kMessage = 2,
  kCopy = 3,
  kLeased = 4,
  kWaiting = 5,  // ready or delayed again: nack, expiry, release, redrive
  kSettled = 6,  // acked, or a dead letter purged or dropped
  kDead = 7,
  kTopicCreated = 8,
  kTopicRemoved = 9,
  kGroupCreated = 10,
  kGroupDeleted = 11,
  kOpened = 12,       // written by each opening, before anything is delivered
  kStepMessage = 13,  // a message that counts only when the progress behind it is there
  kProgress = 14,     // shards moved, with the step messages before it
  kBoard = 15,        // members and owners of a source's shards
  kBoardRemoved = 16,
};

// Each begins with the number of the change: changes are numbered from 1, and a checkpoint bears
// the number of the last change that is in it. These append to `out`.
void put_message_head(std::string& out, std::uint64_t change, std::uint32_t topic,
                      const HeldMessage& message, std::string_view deduplication_id);
void put_leased(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view group,
                std::span<const GroupEntry> entries);
// `now` turns the due time of a delay into wall-clock time.
void put_waiting(std::string& out, std::uint64_t change, std::uint32_t topic,
                 std::string_view group, std::span<const GroupEntry> entries, Now now);
void put_settled(std::string& out, std::uint64_t change, std::uint32_t topic,
                 std::string_view group, std::span<const std::uint64_t> sequences);
void put_dead(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view group,
              const GroupEntry& entry, const DeathRecord& death);
void put_topic(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view name,
               std::uint64_t next_sequence);
void put_group(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view name);

// Of the messages first <= sequence < end.
void put_progress(std::string& out, std::uint64_t change, std::uint32_t topic,
                  const ShardProgress& progress, std::uint64_t first, std::uint64_t end);
void put_board(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view source,
               const ShardBoard& board);

void put_opened(std::string& out, std::uint64_t change, std::uint64_t generation);

// A checkpoint of the ledger in as many records of at most `part_size` as it needs.
std::vector<std::pair<std::uint8_t, std::string>> checkpoint_records(std::uint64_t change,
                                                                     std::string_view checkpoint,
                                                                     std::size_t part_size);

// Builds a ledger from the records of a log, in order.
class QueueReplay {
 public:
  QueueReplay(QueueOptions options, Now now);

  // A record that cannot be read is counted and skipped.
  void apply(std::uint8_t type, std::string_view payload, std::uint64_t segment);

  Ledger& ledger() { return ledger_; }
  std::uint64_t last_change() const { return last_change_; }
  // Of the latest opening, or of the ledger that a new log begins with.
  const LedgerIdentity& identity() const { return identity_; }
  std::uint64_t unreadable() const { return unreadable_; }

 private:
  bool apply_checkpoint(std::string_view payload);
  bool apply_message(QueueRecord type, std::string_view payload, std::uint64_t segment);
  bool await_progress(std::string_view payload, std::uint64_t segment);
  bool apply_progress(std::string_view payload);
  bool apply_change(QueueRecord type, std::string_view payload);

  QueueOptions options_;
  const Now now_;
  Ledger ledger_;
  std::uint64_t last_change_ = 0;
  LedgerIdentity identity_;
  std::uint64_t unreadable_ = 0;
  // Step messages whose progress has not come yet, by topic and sequence.
  struct Waiting {
    std::string payload;
    std::uint64_t segment = 0;
  };
  std::map<std::pair<std::uint32_t, std::uint64_t>, Waiting> waiting_;
  std::string parts_;  // of the checkpoint that is being read
  std::uint64_t parts_seen_ = 0;
};

}  // namespace gpu_telemetry::queue
