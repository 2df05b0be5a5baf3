// How a ledger is read back from what its journal was told.
#include <algorithm>

#include "queue/ledger.h"
#include "queue/ledger_topic.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {

void Ledger::replay_topic_created(Now now, std::uint32_t topic, std::string_view name,
                                  std::uint64_t next_sequence) {
  if (topic >= kMaxTopics || !is_valid_name(name) || topic_by_number(topic) || find_topic(name) ||
      next_sequence == 0 || next_sequence > kMaxStoredSequence + 1) {
    return;
  }
  while (by_number_.size() <= topic) {
    free_numbers_.push_back(static_cast<std::uint32_t>(by_number_.size()));
    by_number_.push_back(nullptr);
    first_sequences_.push_back(1);
  }
  std::erase(free_numbers_, topic);
  add_topic(now, topic, std::string(name), next_sequence);
}

void Ledger::replay_topic_removed(std::uint32_t topic) {
  LedgerTopic* found = topic_by_number(topic);
  if (found != nullptr && found->held.empty()) take_topic_away(*found);
}

void Ledger::replay_group_created(Now now, std::uint32_t topic, std::string_view group) {
  LedgerTopic* found = topic_by_number(topic);
  if (found == nullptr || !is_valid_name(group) ||
      found->groups.find(group) != found->groups.end()) {
    return;
  }
  add_group(now, *found, std::string(group));
}

void Ledger::replay_group_deleted(std::uint32_t topic, std::string_view group) {
  LedgerTopic* found = topic_by_number(topic);
  if (found == nullptr || found->groups.find(group) == found->groups.end()) return;
  remove_group(*found, std::string(group));
}

void Ledger::replay_accepted(Now now, std::uint32_t topic, HeldMessage message,
                             std::string_view deduplication_id) {
  LedgerTopic* found = topic_by_number(topic);
  if (found == nullptr || message.sequence < found->next_sequence ||
      message.sequence > kMaxStoredSequence) {
    return;
  }
  const std::uint64_t sequence = message.sequence;
  if (!deduplication_id.empty()) {
    // A time that was damaged, or of a clock that was far off, must not make one that overflows.
    const Milliseconds window = options_.deduplication_window;
    const Milliseconds age = std::clamp(now.wall - message.published, Milliseconds{0}, window);
    const SteadyTime forgotten = now.steady + window - age;
    const auto [seen, fresh] = found->seen_ids.emplace(
        std::string(deduplication_id), SeenId{sequence, message.published, forgotten});
    if (fresh) {
      found->seen_order.push_back(&seen->first);
      deduplication_bytes_ += deduplication_id.size();
    } else {
      // It had been forgotten when it came again.
      std::erase(found->seen_order, &seen->first);
      found->seen_order.push_back(&seen->first);
      seen->second = {sequence, message.published, forgotten};
    }
  }
  count_in(*found, message);
  found->held.push_back(std::move(message));
  found->next_sequence = sequence + 1;
  show(*found, sequence, sequence + 1);
}

bool Ledger::replay_copy(std::uint32_t topic, HeldMessage message) {
  HeldMessage* held = find_message(topic, message.sequence);
  if (held == nullptr) return false;
  held->payload = std::move(message.payload);
  held->headers = std::move(message.headers);
  held->published = message.published;
  held->place = message.place;
  return true;
}

void Ledger::deliver_up_to(LedgerTopic& topic, LedgerGroup& group, std::uint64_t sequence) {
  if (sequence < group.cursor) return;
  const HeldMessage* message = topic.held.at_or_after(group.cursor);
  for (; message != topic.held.end() && message->sequence <= sequence; ++message) {
    if (message->removed) continue;
    group.add_ready(message->sequence);
    --group.fresh;
  }
  group.cursor = sequence + 1;
}

void Ledger::replay_changed(Now now, std::uint32_t topic, std::string_view group,
                            GroupEntry entry) {
  LedgerTopic* holder = topic_by_number(topic);
  if (holder == nullptr || entry.sequence >= holder->next_sequence) return;
  const auto found = holder->groups.find(group);
  if (found == holder->groups.end()) return;
  deliver_up_to(*holder, found->second, entry.sequence);
  GroupEntry* current = found->second.find(entry.sequence);
  if (current == nullptr) return;
  if (current->state == EntryState::kDead) revive(*holder, found->second, *current);
  if (entry.state == EntryState::kLeased) {
    const SteadyTime due = now.steady + options_.visibility_timeout;
    found->second.lease(*current, due, entry.stamp);
    note_deadline(due);
  } else if (entry.state == EntryState::kDelayed) {
    found->second.delay(*current, entry.due);
    note_deadline(entry.due);
  } else if (current->state != EntryState::kReady) {
    found->second.make_ready(*current, entry.expired);
  }
  current->count = entry.count;
}

void Ledger::replay_died(Now now, std::uint32_t topic, std::string_view group, GroupEntry entry,
                         Timestamp died, std::string reason) {
  entry.state = EntryState::kReady;
  replay_changed(now, topic, group, entry);
  LedgerTopic* holder = topic_by_number(topic);
  LedgerGroup* found = holder == nullptr ? nullptr : find_group(holder->name, group);
  GroupEntry* current = found == nullptr ? nullptr : found->find(entry.sequence);
  if (current == nullptr) return;
  bury({died, now.steady}, *holder, *found, *current, std::move(reason));
}

void Ledger::replay_settled(std::uint32_t topic, std::string_view group, std::uint64_t sequence) {
  LedgerTopic* holder = topic_by_number(topic);
  if (holder == nullptr || sequence >= holder->next_sequence) return;
  const auto found = holder->groups.find(group);
  if (found == holder->groups.end()) return;
  deliver_up_to(*holder, found->second, sequence);
  GroupEntry* entry = found->second.find(sequence);
  if (entry == nullptr) return;
  if (entry->state == EntryState::kDead) {
    forget(*holder, found->second, *entry);
  } else {
    found->second.settle(*entry);
    drop_pending(*holder, sequence);
  }
}

void Ledger::drop_message(LedgerTopic& topic, std::uint64_t sequence) {
  for (auto& [name, group] : topic.groups) {
    if (sequence >= group.cursor) --group.fresh;
    if (GroupEntry* entry = group.find(sequence)) group.settle(*entry);
  }
  HeldMessage& message = *topic.held.find(sequence);
  dead_bytes_ -= message.dead * message.size;
  if (message.pending > 0) count_out(topic, message);
  topic.held.erase(message);
}

std::uint64_t Ledger::finish_replay(LedgerIdentity identity, LedgerJournal* journal) {
  std::uint64_t dropped = 0;
  for (auto& [name, topic] : topics_) {
    std::vector<std::uint64_t> awaited;
    for (const HeldMessage& message : topic->held) {
      if (!message.removed && message.payload == nullptr) awaited.push_back(message.sequence);
    }
    for (const std::uint64_t sequence : awaited) drop_message(*topic, sequence);
    dropped += awaited.size();
    for (auto& [group_name, group] : topic->groups) {
      group.totals = {};
      group.last_used = std::max(group.last_used, topic->last_used);
    }
    topic->published_total = 0;
  }
  identity_ = identity;
  journal_ = journal;
  return dropped;
}

void Ledger::for_each_message(
    const std::function<void(std::uint32_t topic, HeldMessage& message)>& visit) {
  for (auto& [name, topic] : topics_) {
    for (HeldMessage& message : topic->held) {
      if (!message.removed) visit(topic->number, message);
    }
  }
}

HeldMessage* Ledger::find_message(std::uint32_t topic, std::uint64_t sequence) {
  LedgerTopic* holder = topic_by_number(topic);
  return holder == nullptr ? nullptr : holder->held.find(sequence);
}

}  // namespace gpu_telemetry::queue
