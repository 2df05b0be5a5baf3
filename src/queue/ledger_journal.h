// What a ledger tells an engine that must remember its state elsewhere. Calls come in the order of
// the changes, from inside the ledger's functions, under whatever lock those were called; they must
// not call the ledger.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/bytes.h"
#include "queue/ledger_group.h"
#include "queue/message_queue.h"
#include "queue/shard_board.h"

namespace gpu_telemetry::queue {

// A message that a topic holds.
struct HeldMessage {
  std::uint64_t sequence = 0;
  Payload payload;
  Headers headers;
  Timestamp published;
  std::uint64_t size = 0;
  std::uint64_t place = 0;    // the engine's own: where it stored the message
  std::uint32_t pending = 1;  // groups in which it is ready, leased or delayed (or no group yet)
  std::uint32_t dead = 0;     // groups in which it is a dead letter
  bool removed = false;
};

class LedgerJournal {
 public:
  virtual ~LedgerJournal() = default;

  // The first message of the topic will have the sequence `next_sequence`.
  virtual void topic_created(std::uint32_t topic, std::string_view name,
                             std::uint64_t next_sequence) = 0;
  virtual void topic_removed(std::uint32_t topic) = 0;
  virtual void group_created(std::uint32_t topic, std::string_view group) = 0;
  virtual void group_deleted(std::uint32_t topic, std::string_view group) = 0;

  // `in_progress`: progressed() follows, and the message is accepted only together with it.
  virtual void accepted(std::uint32_t topic, const HeldMessage& message,
                        std::string_view deduplication_id, bool in_progress) = 0;
  // Shards have moved, together with the messages first <= sequence < end.
  virtual void progressed(std::uint32_t topic, const ShardProgress& progress, std::uint64_t first,
                          std::uint64_t end) = 0;
  // Members, or the owners of shards, are now others.
  virtual void board_changed(std::uint32_t topic, std::string_view source,
                             const ShardBoard& board) = 0;
  virtual void board_removed(std::uint32_t topic, std::string_view source) = 0;
  // The entries are now in their states: kReady, kLeased or kDelayed.
  virtual void changed(std::uint32_t topic, std::string_view group,
                       std::span<const GroupEntry> entries) = 0;
  virtual void died(std::uint32_t topic, std::string_view group, const GroupEntry& entry,
                    const DeathRecord& death) = 0;
  // Acked, or a dead letter that was purged or fell to a limit.
  virtual void settled(std::uint32_t topic, std::string_view group,
                       std::span<const std::uint64_t> sequences) = 0;
  // The topic lets go of the message.
  virtual void freed(std::uint32_t topic, const HeldMessage& message) = 0;

  // The engine has done one call's changes; they belong together.
  virtual void end_of_changes() = 0;
};

// A board's members and owners as bytes, without positions: docs/formats/queue-log.md. False: they
// make no sense. Members have their whole ttl from `now`.
void append_board(std::string& out, const ShardBoard& board);
bool read_board(io::ByteReader& in, SteadyTime now, ShardBoard& board);

}  // namespace gpu_telemetry::queue
