// The state machine of a queue: topics, groups, leases, delays, dead letters, deduplication,
// limits. Pure and synchronous; the memory and durable engines are this and a way to wait.
//
// Every function takes the time. What is due by then (leases, delays) is handled first, so that an
// answer never depends on how punctually `tick` is called. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/clock.h"
#include "domain/result.h"
#include "queue/ledger_journal.h"
#include "queue/message_queue.h"
#include "queue/receipt.h"
#include "queue/shard_board.h"

namespace gpu_telemetry::queue {

struct Now {
  Timestamp wall;     // shown to people
  SteadyTime steady;  // decides what is due
};
inline Now read(const Clock& clock) { return {clock.now(), clock.steady_now()}; }

// Which ledger made an id or a receipt.
struct LedgerIdentity {
  // Part of every message id: two ledgers with one epoch would give out the same ids. 48 bits.
  std::uint64_t epoch = 0;
  // Part of every receipt: counts the times that one ledger was read back. 16 bits.
  std::uint64_t generation = 0;
};

// Bytes of deduplication ids that a ledger remembers, of all topics; past it publish says kFull.
inline constexpr std::uint64_t kMaxDeduplicationBytes = 16U << 20;

struct LedgerTopic;

class Ledger {
 public:
  // `journal` may be null and outlives the ledger.
  Ledger(QueueOptions options, LedgerIdentity identity, LedgerJournal* journal = nullptr);
  ~Ledger();
  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;

  // As MessageQueue::publish. Messages can be fetched at once.
  Result<std::vector<PublishResult>> publish(Now now, const std::string& topic,
                                             std::vector<OutgoingMessage> messages,
                                             std::optional<ShardProgress> progress = {});

  // The two halves of publish, for an engine that stores messages before it shows them. What is
  // accepted counts against the limits; commit shows it to the groups; withdraw forgets it.
  // Accepted messages of a topic are committed in the order in which they were accepted.
  struct Accepted {
    std::uint32_t topic = 0;
    std::uint64_t first = 0;  // sequences first <= s < end; none when all were duplicates
    std::uint64_t end = 0;
    // What moved with them; none when this repeats a progress.
    std::optional<ShardProgress> progress;
    std::vector<PublishResult> results;
  };
  Result<Accepted> accept(Now now, const std::string& topic, std::vector<OutgoingMessage> messages,
                          std::optional<ShardProgress> progress = {});
  void commit(const Accepted& accepted);
  void withdraw(const Accepted& accepted);

  // As MessageQueue::shards.
  Result<ShardAssignment> shards(Now now, const ShardRequest& request);

  // As MessageQueue's, without the waiting. The first fetch of a group creates it, and its topic.
  Result<std::vector<Delivery>> fetch(Now now, const FetchRequest& request);
  Result<std::vector<Settled>> ack(Now now, const SettleRequest& request);
  Result<std::vector<Settled>> nack(Now now, const SettleRequest& request,
                                    const NackOptions& options);
  Result<std::vector<Settled>> extend(Now now, const SettleRequest& request,
                                      std::chrono::milliseconds visibility);
  std::vector<TopicStatistics> statistics(Now now);  // topics and groups by name
  Result<std::vector<DeadLetter>> dead_letters(Now now, const std::string& topic,
                                               const std::string& group, std::size_t max);
  Result<std::uint64_t> redrive(Now now, const std::string& topic, const std::string& group,
                                const std::vector<std::string>& message_ids);
  Result<std::uint64_t> purge(Now now, const std::string& topic, const std::string& group,
                              const std::vector<std::string>& message_ids);
  Result<void> delete_group(Now now, const std::string& topic, const std::string& group);

  // Messages that a fetch of this group would find at the time of the last call.
  std::uint64_t ready(std::string_view topic, std::string_view group) const;
  // Keeps an idle group: somebody waits for its messages.
  void touch(Now now, std::string_view topic, std::string_view group);

  // Creates the group, and its topic, as a fetch would. True when it was not there.
  Result<bool> ensure_group(Now now, const std::string& topic, const std::string& group);

  // Hands every lease back, uncounted, as a consumer that stops would: for a queue whose consumers
  // are known to be gone.
  void release_all(Now now);

  // Handles everything due and returns when to call next at the latest, if nothing else is called.
  std::optional<SteadyTime> tick(Now now);
  // The same, after calls that may have brought it forward; never later than what is due.
  std::optional<SteadyTime> next_deadline() const { return next_deadline_; }

  // --- Reading back. A checkpoint (docs/formats/queue-log.md) has everything but the messages
  // themselves; the replay functions repeat what a journal was told, in its order. They accept what
  // makes no sense (a damaged log) and ignore it.

  std::string checkpoint(Now now) const;
  // The ledger of a checkpoint, with the messages that `earlier` has of it; the others are awaited.
  // The generation is the checkpoint's. Errors: kCorrupt.
  static Result<Ledger> restore(QueueOptions options, std::string_view checkpoint, Now now,
                                Ledger& earlier);
  void replay_topic_created(Now now, std::uint32_t topic, std::string_view name,
                            std::uint64_t next_sequence);
  void replay_topic_removed(std::uint32_t topic);
  void replay_group_created(Now now, std::uint32_t topic, std::string_view group);
  void replay_group_deleted(std::uint32_t topic, std::string_view group);
  void replay_accepted(Now now, std::uint32_t topic, HeldMessage message,
                       std::string_view deduplication_id);
  // A message that is awaited, or another copy of one that is there. False when it is neither.
  bool replay_copy(std::uint32_t topic, HeldMessage message);
  // A lease ends a visibility timeout from now, whatever `entry.due` says.
  void replay_changed(Now now, std::uint32_t topic, std::string_view group, GroupEntry entry);
  void replay_died(Now now, std::uint32_t topic, std::string_view group, GroupEntry entry,
                   Timestamp died, std::string reason);
  void replay_settled(std::uint32_t topic, std::string_view group, std::uint64_t sequence);
  // A board whose members and owners are others now, or a new one.
  void replay_board(std::uint32_t topic, std::string_view source, ShardBoard board);
  void replay_board_removed(std::uint32_t topic, std::string_view source);
  // Shards that are where a step begins go to where it ends; others have been there.
  void replay_progress(std::uint32_t topic, const ShardProgress& progress);
  // Forgets messages that are still awaited and tells how many; from here on `journal` is told.
  std::uint64_t finish_replay(LedgerIdentity identity, LedgerJournal* journal);
  const LedgerIdentity& identity() const { return identity_; }

  // Every message held, and one of them (null: not held). `place` may be changed.
  void for_each_message(
      const std::function<void(std::uint32_t topic, HeldMessage& message)>& visit);
  HeldMessage* find_message(std::uint32_t topic, std::uint64_t sequence);

 private:
  friend class CheckpointReader;
  friend class CheckpointWriter;

  LedgerTopic* find_topic(std::string_view name) const;
  LedgerTopic* topic_by_number(std::uint32_t number) const;
  LedgerGroup* find_group(std::string_view topic, std::string_view group) const;
  Result<LedgerTopic*> topic_for(Now now, const std::string& name);
  Result<LedgerGroup*> group_for(Now now, LedgerTopic& topic, const std::string& name);

  // Publishing.
  struct Numbered {
    std::uint64_t sequence = 0;  // its own, or that of the message it repeats
    bool duplicate = false;
  };
  std::vector<Numbered> number(const LedgerTopic& topic,
                               const std::vector<OutgoingMessage>& messages) const;
  Result<void> check_room(const LedgerTopic& topic, const std::vector<OutgoingMessage>& messages,
                          const std::vector<Numbered>& numbers) const;
  Accepted repeat(const std::string& topic, std::size_t messages);
  void hold(Now now, LedgerTopic& topic, OutgoingMessage message, bool in_progress);
  void show(LedgerTopic& topic, std::uint64_t first, std::uint64_t end);
  void forget_old_ids(SteadyTime now, LedgerTopic& topic);

  // Sharing.
  ShardBoard* find_board(std::string_view topic, std::string_view source) const;
  Result<ShardBoard::Verdict> judge(Now now, const std::string& topic,
                                    const ShardProgress& progress);
  void board_changed(const LedgerTopic& topic, std::string_view source, const ShardBoard& board);
  void remove_board(LedgerTopic& topic, std::string_view source);
  void tick_boards(Now now, LedgerTopic& topic, SteadyTime& next);

  // Delivering and settling.
  void expire(Now now, LedgerTopic& topic, LedgerGroup& group);
  GroupEntry* next_to_deliver(LedgerTopic& topic, LedgerGroup& group);
  GroupEntry* find_lease(const LedgerTopic& topic, LedgerGroup& group, std::string_view text,
                         bool expired_too) const;
  void nack_one(Now now, LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry,
                const NackOptions& options);
  // Back to ready after `delay`, or to the dead letters when it was the last try.
  void retry(Now now, LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry,
             std::chrono::milliseconds delay, bool expired);
  void bury(Now now, LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry, std::string reason);
  // What lies before `sequence` and was never delivered gets its entries.
  void deliver_up_to(LedgerTopic& topic, LedgerGroup& group, std::uint64_t sequence);
  void revive(LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry);
  void drop_message(LedgerTopic& topic, std::uint64_t sequence);
  LedgerTopic& add_topic(Now now, std::uint32_t number, const std::string& name,
                         std::uint64_t next_sequence);
  LedgerGroup& add_group(Now now, LedgerTopic& topic, const std::string& name);
  void take_topic_away(LedgerTopic& topic);
  void forget(LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry);
  void changed(const LedgerTopic& topic, const LedgerGroup& group, const GroupEntry& entry);
  template <class Act>
  Result<std::uint64_t> each_dead(Now now, const std::string& topic, const std::string& group,
                                  const std::vector<std::string>& message_ids, Act act);

  // What a message counts for.
  void count_in(LedgerTopic& topic, const HeldMessage& message);
  void count_out(LedgerTopic& topic, const HeldMessage& message);
  void drop_pending(LedgerTopic& topic, std::uint64_t sequence);
  void drop_dead(LedgerTopic& topic, std::uint64_t sequence);
  void free_if_unused(LedgerTopic& topic, HeldMessage& message);

  void remove_group(LedgerTopic& topic, const std::string& name);
  std::optional<SteadyTime> tick_group(Now now, LedgerTopic& topic, LedgerGroup& group);
  bool is_permanent(std::string_view group) const;
  void note_deadline(SteadyTime deadline);
  GroupStatistics statistics_of(Now now, LedgerTopic& topic, LedgerGroup& group);

  QueueOptions options_;
  LedgerIdentity identity_;
  LedgerJournal* journal_;
  std::map<std::string, std::unique_ptr<LedgerTopic>, std::less<>> topics_;
  std::vector<LedgerTopic*> by_number_;  // null where there is none
  // By topic number; goes on where a removed topic of the number left off, so that ids never
  // repeat.
  std::vector<std::uint64_t> first_sequences_;
  std::vector<std::uint32_t> free_numbers_;
  std::uint64_t held_bytes_ = 0;
  std::uint64_t dead_bytes_ = 0;
  std::uint64_t deduplication_bytes_ = 0;
  std::uint64_t leases_given_ = 0;
  std::optional<SteadyTime> next_deadline_;
};

}  // namespace gpu_telemetry::queue
