// What a ledger tells an engine that must remember its state elsewhere. Calls come in the order of
// the changes, from inside the ledger's functions, under whatever lock those were called; they must
// not call the ledger.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "queue/ledger_group.h"
#include "queue/message_queue.h"

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

  virtual void accepted(std::uint32_t topic, const HeldMessage& message,
                        std::string_view deduplication_id) = 0;
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

}  // namespace gpu_telemetry::queue
