// How messages leave a ledger: leases, settling, retries, dead letters.
#include <algorithm>

#include "queue/ledger.h"
#include "queue/ledger_topic.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {
namespace {

std::string tries(std::uint32_t count) {
  return "delivered " + std::to_string(count) + (count == 1 ? " time" : " times");
}

}  // namespace

// --- fetch

GroupEntry* Ledger::next_to_deliver(LedgerTopic& topic, LedgerGroup& group) {
  // What was delivered before is older than what never was.
  if (GroupEntry* entry = group.first_ready()) return entry;
  if (group.fresh == 0) return nullptr;
  const HeldMessage* message = topic.held.at_or_after(group.cursor);
  while (message->removed) ++message;
  --group.fresh;
  group.cursor = message->sequence + 1;
  return &group.add_to_lease(message->sequence);
}

Result<std::vector<Delivery>> Ledger::fetch(Now now, const FetchRequest& request) {
  if (auto ok = check_fetch(request); !ok) return ok.error();
  auto topic = topic_for(now, request.topic);
  if (!topic) return topic.error();
  auto found = group_for(now, **topic, request.group);
  if (!found) return found.error();
  LedgerGroup& group = **found;
  if (!request.consumer.empty()) group.saw_consumer(request.consumer, now.steady);
  expire(now, **topic, group);

  std::vector<Delivery> deliveries;
  deliveries.reserve(std::min<std::uint64_t>(request.max_messages, group.ready()));
  std::vector<GroupEntry> leased;
  const SteadyTime due = now.steady + options_.visibility_timeout;
  while (deliveries.size() < request.max_messages) {
    GroupEntry* entry = next_to_deliver(**topic, group);
    if (entry == nullptr) break;
    const std::uint64_t stamp = identity_.generation << 48 | ++leases_given_;
    group.lease(*entry, due, stamp);
    if (journal_) leased.push_back(*entry);
    if (entry->count > 1) ++group.totals.redelivered_total;

    const HeldMessage& message = *(*topic)->held.find(entry->sequence);
    const MessageKey key{identity_.epoch, (*topic)->number, entry->sequence};
    deliveries.push_back({format_message_id(key), format_receipt(key, stamp), message.payload,
                          message.headers, message.published, entry->count});
  }
  if (deliveries.empty()) return deliveries;
  group.totals.delivered_total += deliveries.size();
  note_deadline(due);
  if (journal_) journal_->changed((*topic)->number, group.name(), leased);
  return deliveries;
}

// --- settling

// The entry that a receipt or id stands for. A receipt whose lease ran out still counts for an ack
// (`expired_too`) as long as nobody else was given the message.
GroupEntry* Ledger::find_lease(const LedgerTopic& topic, LedgerGroup& group, std::string_view text,
                               bool expired_too) const {
  const auto receipt = parse_receipt(text);
  if (!receipt || receipt->message.epoch != identity_.epoch ||
      receipt->message.topic != topic.number) {
    return nullptr;
  }
  GroupEntry* entry = group.find(receipt->message.sequence);
  if (entry == nullptr) return nullptr;
  if (receipt->stamp && *receipt->stamp != entry->stamp) return nullptr;
  if (entry->state == EntryState::kLeased) return entry;
  const bool late =
      expired_too && receipt->stamp && entry->state == EntryState::kReady && entry->expired;
  return late ? entry : nullptr;
}

Result<std::vector<Settled>> Ledger::ack(Now now, const SettleRequest& request) {
  if (auto ok = check_settle(request); !ok) return ok.error();
  std::vector<Settled> results(request.receipts_or_ids.size(), Settled::kUnknown);
  LedgerTopic* topic = find_topic(request.topic);
  LedgerGroup* group = find_group(request.topic, request.group);
  if (group == nullptr) return results;
  group->last_used = now.steady;
  expire(now, *topic, *group);
  std::vector<std::uint64_t> acked;
  for (std::size_t i = 0; i < results.size(); ++i) {
    GroupEntry* entry = find_lease(*topic, *group, request.receipts_or_ids[i], true);
    if (entry == nullptr) continue;
    const std::uint64_t sequence = entry->sequence;
    group->settle(*entry);
    drop_pending(*topic, sequence);
    ++group->totals.acked_total;
    if (journal_) acked.push_back(sequence);
    results[i] = Settled::kDone;
  }
  if (!acked.empty()) journal_->settled(topic->number, group->name(), acked);
  return results;
}

Result<std::vector<Settled>> Ledger::extend(Now now, const SettleRequest& request,
                                            std::chrono::milliseconds visibility) {
  if (auto ok = check_extend(request, visibility); !ok) return ok.error();
  std::vector<Settled> results(request.receipts_or_ids.size(), Settled::kUnknown);
  LedgerTopic* topic = find_topic(request.topic);
  LedgerGroup* group = find_group(request.topic, request.group);
  if (group == nullptr) return results;
  group->last_used = now.steady;
  expire(now, *topic, *group);
  const SteadyTime due = now.steady + visibility;
  for (std::size_t i = 0; i < results.size(); ++i) {
    GroupEntry* entry = find_lease(*topic, *group, request.receipts_or_ids[i], false);
    if (entry == nullptr) continue;
    group->extend(*entry, due);
    results[i] = Settled::kDone;
  }
  note_deadline(due);
  return results;
}

Result<std::vector<Settled>> Ledger::nack(Now now, const SettleRequest& request,
                                          const NackOptions& options) {
  if (auto ok = check_nack(request, options); !ok) return ok.error();
  std::vector<Settled> results(request.receipts_or_ids.size(), Settled::kUnknown);
  LedgerTopic* topic = find_topic(request.topic);
  LedgerGroup* group = find_group(request.topic, request.group);
  if (group == nullptr) return results;
  group->last_used = now.steady;
  expire(now, *topic, *group);
  for (std::size_t i = 0; i < results.size(); ++i) {
    GroupEntry* entry = find_lease(*topic, *group, request.receipts_or_ids[i], false);
    if (entry == nullptr) continue;
    nack_one(now, *topic, *group, *entry, options);
    results[i] = Settled::kDone;
  }
  return results;
}

void Ledger::nack_one(Now now, LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry,
                      const NackOptions& options) {
  if (options.release) {
    --entry.count;
    group.make_ready(entry, false);
    changed(topic, group, entry);
    return;
  }
  ++group.totals.nacked_total;
  if (options.dead_letter_reason) {
    bury(now, topic, group, entry, options.dead_letter_reason->substr(0, kMaxReasonSize));
  } else {
    retry(now, topic, group, entry, options.delay, false);
  }
}

void Ledger::release_all(Now now) {
  NackOptions release;
  release.release = true;
  for (auto& [topic_name, topic] : topics_) {
    for (auto& [group_name, group] : topic->groups) {
      std::vector<std::uint64_t> leased;
      for (const GroupEntry& entry : group.entries()) {
        if (!entry.removed && entry.state == EntryState::kLeased) leased.push_back(entry.sequence);
      }
      for (const std::uint64_t sequence : leased) {
        nack_one(now, *topic, group, *group.find(sequence), release);
      }
    }
  }
}

void Ledger::retry(Now now, LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry,
                   std::chrono::milliseconds delay, bool expired) {
  if (entry.count > options_.max_retries) {
    bury(now, topic, group, entry,
         tries(entry.count) + (expired ? ", the last lease ran out" : ", the last was refused"));
    return;
  }
  if (delay.count() > 0) {
    group.delay(entry, now.steady + delay);
    note_deadline(entry.due);
  } else {
    group.make_ready(entry, expired);
  }
  changed(topic, group, entry);
}

void Ledger::expire(Now now, LedgerTopic& topic, LedgerGroup& group) {
  while (GroupEntry* entry = group.first_due(now.steady)) {
    if (entry->state == EntryState::kDelayed) {
      group.make_ready(*entry, false);
      changed(topic, group, *entry);
    } else {
      ++group.totals.expired_total;
      retry(now, topic, group, *entry, Milliseconds{0}, true);
    }
  }
}

void Ledger::changed(const LedgerTopic& topic, const LedgerGroup& group, const GroupEntry& entry) {
  if (journal_) journal_->changed(topic.number, group.name(), {&entry, 1});
}

// --- dead letters

void Ledger::bury(Now now, LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry,
                  std::string reason) {
  HeldMessage& message = *topic.held.find(entry.sequence);
  ++message.dead;
  dead_bytes_ += message.size;
  group.bury(entry, {entry.sequence, message.size, now.wall, std::move(reason)});
  ++group.totals.dead_total;
  if (journal_) journal_->died(topic.number, group.name(), entry, group.deaths().rbegin()->second);
  drop_pending(topic, entry.sequence);
  // The newest stays, however large it is.
  while (group.deaths().size() > 1 && (group.deaths().size() > options_.max_dead_letters ||
                                       dead_bytes_ > options_.max_dead_letter_bytes.bytes)) {
    forget(topic, group, *group.find(group.deaths().begin()->second.sequence));
    ++group.totals.dead_dropped_total;
  }
}

void Ledger::forget(LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry) {
  const std::uint64_t sequence = entry.sequence;
  dead_bytes_ -= topic.held.find(sequence)->size;
  group.settle(entry);
  if (journal_) journal_->settled(topic.number, group.name(), {&sequence, 1});
  drop_dead(topic, sequence);
}

Result<std::vector<DeadLetter>> Ledger::dead_letters(Now now, const std::string& topic,
                                                     const std::string& group, std::size_t max) {
  if (auto ok = check_topic_and_group(topic, group); !ok) return ok.error();
  std::vector<DeadLetter> letters;
  LedgerGroup* found = find_group(topic, group);
  if (found == nullptr) return letters;
  LedgerTopic& holder = *find_topic(topic);
  expire(now, holder, *found);
  for (const auto& [order, death] : found->deaths()) {
    if (letters.size() >= max) break;
    const HeldMessage& message = *holder.held.find(death.sequence);
    letters.push_back({format_message_id({identity_.epoch, holder.number, death.sequence}),
                       message.payload, message.headers, message.published, death.died,
                       found->find(death.sequence)->count, death.reason});
  }
  return letters;
}

// Calls `act(topic, group, entry)` for the dead letters named, or all; returns for how many.
template <class Act>
Result<std::uint64_t> Ledger::each_dead(Now now, const std::string& topic, const std::string& group,
                                        const std::vector<std::string>& message_ids, Act act) {
  if (auto ok = check_dead_letter_ids(topic, group, message_ids); !ok) return ok.error();
  LedgerGroup* found = find_group(topic, group);
  if (found == nullptr) return std::uint64_t{0};
  LedgerTopic& holder = *find_topic(topic);
  found->last_used = now.steady;
  expire(now, holder, *found);
  std::vector<std::uint64_t> sequences;
  for (const std::string& id : message_ids) {
    const auto parsed = parse_receipt(id);
    if (parsed && !parsed->stamp && parsed->message.epoch == identity_.epoch &&
        parsed->message.topic == holder.number) {
      sequences.push_back(parsed->message.sequence);
    }
  }
  if (message_ids.empty()) {
    for (const auto& [order, death] : found->deaths()) sequences.push_back(death.sequence);
  }
  std::uint64_t acted = 0;
  for (const std::uint64_t sequence : sequences) {
    GroupEntry* entry = found->find(sequence);
    if (entry == nullptr || entry->state != EntryState::kDead) continue;
    act(holder, *found, *entry);
    ++acted;
  }
  return acted;
}

void Ledger::revive(LedgerTopic& topic, LedgerGroup& group, GroupEntry& entry) {
  HeldMessage& message = *topic.held.find(entry.sequence);
  if (message.pending++ == 0) count_in(topic, message);
  --message.dead;
  dead_bytes_ -= message.size;
  group.make_ready(entry, false);
}

Result<std::uint64_t> Ledger::redrive(Now now, const std::string& topic, const std::string& group,
                                      const std::vector<std::string>& message_ids) {
  return each_dead(now, topic, group, message_ids,
                   [this](LedgerTopic& holder, LedgerGroup& found, GroupEntry& entry) {
                     revive(holder, found, entry);
                     entry.count = 0;
                     changed(holder, found, entry);
                   });
}

Result<std::uint64_t> Ledger::purge(Now now, const std::string& topic, const std::string& group,
                                    const std::vector<std::string>& message_ids) {
  return each_dead(now, topic, group, message_ids,
                   [this](LedgerTopic& holder, LedgerGroup& found, GroupEntry& entry) {
                     forget(holder, found, entry);
                   });
}

}  // namespace gpu_telemetry::queue
