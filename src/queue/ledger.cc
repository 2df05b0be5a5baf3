// Topics, groups, time and what messages count for. ledger_publish.cc and ledger_delivery.cc have
// the rest of the class.
#include "queue/ledger.h"

#include <algorithm>

#include "observability/log.h"
#include "queue/ledger_topic.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {
namespace {

// How much later than due an old deduplication id may leave memory when nothing else happens.
constexpr std::chrono::seconds kForgetIdsEvery{10};

}  // namespace

Ledger::Ledger(QueueOptions options, LedgerIdentity identity, LedgerJournal* journal)
    : options_(std::move(options)), identity_(identity), journal_(journal) {}
Ledger::~Ledger() = default;
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;

// --- topics and groups

LedgerTopic* Ledger::find_topic(std::string_view name) const {
  const auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : found->second.get();
}

LedgerTopic* Ledger::topic_by_number(std::uint32_t number) const {
  return number < by_number_.size() ? by_number_[number] : nullptr;
}

LedgerGroup* Ledger::find_group(std::string_view topic, std::string_view group) const {
  LedgerTopic* holder = find_topic(topic);
  if (holder == nullptr) return nullptr;
  const auto found = holder->groups.find(group);
  return found == holder->groups.end() ? nullptr : &found->second;
}

Result<LedgerTopic*> Ledger::topic_for(Now now, const std::string& name) {
  if (LedgerTopic* topic = find_topic(name)) {
    topic->last_used = now.steady;
    return topic;
  }
  if (auto ok = check_topic(name); !ok) return ok.error();
  if (topics_.size() >= kMaxTopics) {
    return full("the queue has " + std::to_string(kMaxTopics) +
                " topics already, the most it takes; \"" + name + "\" would be another");
  }
  std::uint32_t number = 0;
  if (free_numbers_.empty()) {
    number = static_cast<std::uint32_t>(first_sequences_.size());
    first_sequences_.push_back(1);
    by_number_.push_back(nullptr);
  } else {
    number = free_numbers_.back();
    free_numbers_.pop_back();
  }
  LedgerTopic& created = add_topic(now, number, name, first_sequences_[number]);
  if (journal_) journal_->topic_created(number, name, created.next_sequence);
  return &created;
}

LedgerTopic& Ledger::add_topic(Now now, std::uint32_t number, const std::string& name,
                               std::uint64_t next_sequence) {
  auto topic = std::make_unique<LedgerTopic>();
  topic->name = name;
  topic->number = number;
  topic->last_used = now.steady;
  topic->next_sequence = next_sequence;
  topic->shown_end = next_sequence;
  by_number_[number] = topic.get();
  note_deadline(now.steady + options_.idle_group_lifetime);
  return *topics_.emplace(name, std::move(topic)).first->second;
}

// A new group owes its consumers every message that still counts, and those to come.
Result<LedgerGroup*> Ledger::group_for(Now now, LedgerTopic& topic, const std::string& name) {
  if (const auto found = topic.groups.find(name); found != topic.groups.end()) {
    found->second.last_used = now.steady;
    return &found->second;
  }
  if (topic.groups.size() >= kMaxGroupsPerTopic) {
    return full("topic \"" + topic.name + "\" has " + std::to_string(kMaxGroupsPerTopic) +
                " consumer groups already, the most it takes; \"" + name + "\" would be another");
  }
  LedgerGroup& group = add_group(now, topic, name);
  if (journal_) journal_->group_created(topic.number, name);
  return &group;
}

LedgerGroup& Ledger::add_group(Now now, LedgerTopic& topic, const std::string& name) {
  const bool first_group = topic.groups.empty();
  LedgerGroup& group =
      topic.groups.try_emplace(name, name, topic.shown_end, now.steady).first->second;
  for (HeldMessage& message : topic.held) {
    if (message.sequence >= topic.shown_end) break;
    if (message.removed || message.pending == 0) continue;
    group.add_ready(message.sequence);
    if (!first_group) ++message.pending;
  }
  note_deadline(now.steady + options_.idle_group_lifetime);
  return group;
}

Result<bool> Ledger::ensure_group(Now now, const std::string& topic, const std::string& group) {
  if (auto ok = check_topic_and_group(topic, group); !ok) return ok.error();
  if (find_group(topic, group) != nullptr) return false;
  auto holder = topic_for(now, topic);
  if (!holder) return holder.error();
  auto created = group_for(now, **holder, group);
  if (!created) return created.error();
  return true;
}

void Ledger::remove_group(LedgerTopic& topic, const std::string& name) {
  const auto found = topic.groups.find(name);
  LedgerGroup& group = found->second;
  // What only this group still had to see stays for a later one, when no other group is left.
  const bool last_group = topic.groups.size() == 1;
  std::vector<std::uint64_t> live;
  std::vector<std::uint64_t> dead;
  for (const GroupEntry& entry : group.entries()) {
    if (entry.removed) continue;
    (entry.state == EntryState::kDead ? dead : live).push_back(entry.sequence);
  }
  const HeldMessage* message = topic.held.at_or_after(group.cursor);
  for (; message != topic.held.end() && message->sequence < topic.shown_end; ++message) {
    if (!message->removed) live.push_back(message->sequence);
  }
  dead_bytes_ -= group.dead_bytes();
  for (const std::uint64_t sequence : dead) drop_dead(topic, sequence);
  if (!last_group) {
    for (const std::uint64_t sequence : live) drop_pending(topic, sequence);
  }
  if (journal_) journal_->group_deleted(topic.number, name);
  topic.groups.erase(found);
}

Result<void> Ledger::delete_group(Now now, const std::string& topic, const std::string& group) {
  if (auto ok = check_topic_and_group(topic, group); !ok) return ok;
  if (find_group(topic, group) == nullptr) {
    return not_found("topic \"" + topic + "\" has no consumer group \"" + group + "\"");
  }
  LedgerTopic& holder = *find_topic(topic);
  holder.last_used = now.steady;
  remove_group(holder, group);
  return {};
}

bool Ledger::is_permanent(std::string_view group) const {
  return std::find(options_.permanent_groups.begin(), options_.permanent_groups.end(), group) !=
         options_.permanent_groups.end();
}

std::uint64_t Ledger::ready(std::string_view topic, std::string_view group) const {
  const LedgerGroup* found = find_group(topic, group);
  return found == nullptr ? 0 : found->ready();
}

void Ledger::touch(Now now, std::string_view topic, std::string_view group) {
  if (LedgerGroup* found = find_group(topic, group)) found->last_used = now.steady;
}

void Ledger::take_topic_away(LedgerTopic& topic) {
  first_sequences_[topic.number] = topic.next_sequence;
  free_numbers_.push_back(topic.number);
  by_number_[topic.number] = nullptr;
  topics_.erase(topics_.find(topic.name));
}

// --- time

void Ledger::note_deadline(SteadyTime deadline) {
  if (!next_deadline_ || deadline < *next_deadline_) next_deadline_ = deadline;
}

// Nothing when the group has idled for too long.
std::optional<SteadyTime> Ledger::tick_group(Now now, LedgerTopic& topic, LedgerGroup& group) {
  expire(now, topic, group);
  const auto due = group.next_due();
  if (is_permanent(group.name()) || group.count(EntryState::kLeased) > 0) {
    return due.value_or(SteadyTime::max());
  }
  const SteadyTime idle_end = group.last_used + options_.idle_group_lifetime;
  if (idle_end <= now.steady) return std::nullopt;
  return due ? std::min(*due, idle_end) : idle_end;
}

std::optional<SteadyTime> Ledger::tick(Now now) {
  SteadyTime next = SteadyTime::max();
  for (auto at = topics_.begin(); at != topics_.end();) {
    LedgerTopic& topic = *at->second;
    std::vector<std::string> idle;
    for (auto& [name, group] : topic.groups) {
      const auto deadline = tick_group(now, topic, group);
      if (deadline) {
        next = std::min(next, *deadline);
      } else {
        idle.push_back(name);
      }
    }
    for (const std::string& name : idle) {
      observability::log_info("Removed a consumer group that nobody used",
                              {{"topic", topic.name}, {"consumer_group", name}});
      remove_group(topic, name);
    }
    forget_old_ids(now.steady, topic);
    if (!topic.seen_order.empty()) {
      const SeenId& first = topic.seen_ids.find(*topic.seen_order.front())->second;
      next = std::min(next, std::max(first.forgotten, now.steady + kForgetIdsEvery));
    }
    tick_boards(now, topic, next);
    if (topic.held.empty() && topic.groups.empty() && topic.seen_ids.empty() &&
        topic.boards.empty()) {
      const SteadyTime idle_end = topic.last_used + options_.idle_group_lifetime;
      if (idle_end <= now.steady) {
        if (journal_) journal_->topic_removed(topic.number);
        ++at;
        take_topic_away(topic);
        continue;
      }
      next = std::min(next, idle_end);
    }
    ++at;
  }
  next_deadline_ = next == SteadyTime::max() ? std::nullopt : std::optional(next);
  return next_deadline_;
}

// --- what messages count for

void Ledger::count_in(LedgerTopic& topic, const HeldMessage& message) {
  ++topic.messages;
  topic.bytes += message.size;
  held_bytes_ += message.size + options_.message_overhead.bytes;
}

void Ledger::count_out(LedgerTopic& topic, const HeldMessage& message) {
  --topic.messages;
  topic.bytes -= message.size;
  held_bytes_ -= message.size + options_.message_overhead.bytes;
}

void Ledger::drop_pending(LedgerTopic& topic, std::uint64_t sequence) {
  HeldMessage& message = *topic.held.find(sequence);
  if (--message.pending == 0) count_out(topic, message);
  free_if_unused(topic, message);
}

void Ledger::drop_dead(LedgerTopic& topic, std::uint64_t sequence) {
  HeldMessage& message = *topic.held.find(sequence);
  --message.dead;
  free_if_unused(topic, message);
}

void Ledger::free_if_unused(LedgerTopic& topic, HeldMessage& message) {
  if (message.pending > 0 || message.dead > 0) return;
  if (journal_) journal_->freed(topic.number, message);
  topic.held.erase(message);
}

// --- statistics

GroupStatistics Ledger::statistics_of(Now now, LedgerTopic& topic, LedgerGroup& group) {
  GroupStatistics statistics = group.totals;
  statistics.group = group.name();
  statistics.ready = group.ready();
  statistics.in_flight = group.count(EntryState::kLeased);
  statistics.delayed = group.count(EntryState::kDelayed);
  statistics.dead = group.count(EntryState::kDead);
  statistics.consumers = group.consumers_since(now.steady - std::chrono::minutes{1});
  if (statistics.ready + statistics.in_flight + statistics.delayed == 0) return statistics;
  std::uint64_t oldest = group.cursor;
  for (const GroupEntry& entry : group.entries()) {
    if (entry.removed || entry.state == EntryState::kDead) continue;
    oldest = entry.sequence;
    break;
  }
  const HeldMessage* message = topic.held.at_or_after(oldest);
  while (message->removed) ++message;
  statistics.oldest_age = std::max(now.wall - message->published, Milliseconds{0});
  return statistics;
}

std::vector<TopicStatistics> Ledger::statistics(Now now) {
  std::vector<TopicStatistics> all;
  for (auto& [name, topic] : topics_) {
    TopicStatistics& statistics = all.emplace_back();
    statistics.topic = name;
    for (auto& [group_name, group] : topic->groups) {
      expire(now, *topic, group);
      statistics.groups.push_back(statistics_of(now, *topic, group));
    }
    statistics.messages = topic->messages;
    statistics.bytes = topic->bytes;
    statistics.published_total = topic->published_total;
    statistics.rejected_total = topic->rejected_total;
    statistics.deduplicated_total = topic->deduplicated_total;
    for (auto& [source, board] : topic->boards) {
      if (board.expire(now.steady)) board_changed(*topic, source, board);
      statistics.sources.push_back(board.statistics(source));
    }
  }
  return all;
}

}  // namespace gpu_telemetry::queue
