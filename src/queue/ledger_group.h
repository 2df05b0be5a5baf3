// One consumer group of one topic, as the ledger keeps it: which messages it still owes to its
// consumers and in what state each is. Knows sequences, not payloads. Not thread-safe.
//
// Messages that were never delivered take no memory here: they are those from `cursor` on. The
// others have an entry until they are settled.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "queue/message_queue.h"
#include "queue/sequence_table.h"

namespace gpu_telemetry::queue {

enum class EntryState : std::uint8_t { kReady, kLeased, kDelayed, kDead };
inline constexpr std::size_t kEntryStates = 4;

struct GroupEntry {
  std::uint64_t sequence = 0;
  SteadyTime due{};         // of a lease or delay
  std::uint64_t stamp = 0;  // of the latest lease; in a dead letter the order of death
  std::uint32_t count = 0;  // deliveries so far
  EntryState state = EntryState::kReady;
  bool expired = false;  // ready because the lease ran out: its receipt may still ack
  bool removed = false;
};

struct DeathRecord {
  std::uint64_t sequence = 0;
  std::uint64_t bytes = 0;  // of the message
  Timestamp died;
  std::string reason;
};

class LedgerGroup {
 public:
  LedgerGroup(std::string name, std::uint64_t first, SteadyTime now)
      : cursor(first), last_used(now), name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  std::uint64_t cursor;     // the first sequence that was never delivered here
  std::uint64_t fresh = 0;  // messages from the cursor on that may be delivered
  SteadyTime last_used;
  GroupStatistics totals;  // only the *_total members are kept here

  GroupEntry* find(std::uint64_t sequence) { return entries_.find(sequence); }
  // A new entry, ready; `sequence` is greater than that of all before. The first is found by
  // first_ready; the second is not, and is leased at once.
  GroupEntry& add_ready(std::uint64_t sequence);
  GroupEntry& add_to_lease(std::uint64_t sequence);

  // The oldest ready entry, if any. It stays the first until its state changes.
  GroupEntry* first_ready();

  void lease(GroupEntry& entry, SteadyTime due, std::uint64_t stamp);
  void extend(GroupEntry& entry, SteadyTime due);
  void make_ready(GroupEntry& entry, bool expired);
  void delay(GroupEntry& entry, SteadyTime due);
  void bury(GroupEntry& entry, DeathRecord record);
  // Removes the entry, of whatever state.
  void settle(GroupEntry& entry);

  // As read back from storage: an entry in its state, in the order of sequences, and of a dead
  // letter the rest. `entry.stamp` of a dead letter is its place in the order of death.
  void put_back(GroupEntry entry, DeathRecord death);

  // A leased or delayed entry whose time has come, earliest first.
  GroupEntry* first_due(SteadyTime now);
  std::optional<SteadyTime> next_due();

  std::uint64_t count(EntryState state) const { return counts_[static_cast<std::size_t>(state)]; }
  std::uint64_t ready() const { return fresh + count(EntryState::kReady); }
  // In the order of death.
  const std::map<std::uint64_t, DeathRecord>& deaths() const { return deaths_; }
  std::uint64_t dead_bytes() const { return dead_bytes_; }
  const SequenceTable<GroupEntry>& entries() const { return entries_; }

  void saw_consumer(const std::string& consumer, SteadyTime now);
  std::uint64_t consumers_since(SteadyTime since);

 private:
  struct Due {
    SteadyTime due;
    std::uint64_t sequence;
    friend auto operator<=>(const Due&, const Due&) = default;
  };

  void set_state(GroupEntry& entry, EntryState state);
  void push_due(const GroupEntry& entry);
  bool is_current(const Due& due);
  void forget_death(GroupEntry& entry);

  std::string name_;
  SequenceTable<GroupEntry> entries_;
  std::uint64_t counts_[kEntryStates] = {};
  // Heaps with the smallest in front. What has changed since it was pushed is skipped when it comes
  // up, and swept when it is more than half.
  std::vector<std::uint64_t> ready_;
  std::vector<Due> due_;
  std::map<std::uint64_t, DeathRecord> deaths_;
  std::uint64_t dead_bytes_ = 0;
  std::uint64_t next_death_ = 1;
  std::unordered_map<std::string, SteadyTime> consumers_;
};

}  // namespace gpu_telemetry::queue
