// How messages enter a ledger: limits, deduplication, commit.
#include <algorithm>

#include "queue/ledger.h"
#include "queue/ledger_topic.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {

Result<std::vector<PublishResult>> Ledger::publish(Now now, const std::string& topic,
                                                   std::vector<OutgoingMessage> messages,
                                                   std::optional<ShardProgress> progress) {
  auto accepted = accept(now, topic, std::move(messages), std::move(progress));
  if (!accepted) return accepted.error();
  commit(*accepted);
  return std::move(accepted->results);
}

// The sequences that the messages will get, in order; those of an id seen before take none.
std::vector<Ledger::Numbered> Ledger::number(const LedgerTopic& topic,
                                             const std::vector<OutgoingMessage>& messages) const {
  std::vector<Numbered> numbers;
  numbers.reserve(messages.size());
  std::unordered_map<std::string_view, std::uint64_t> in_batch;
  std::uint64_t next = topic.next_sequence;
  for (const OutgoingMessage& message : messages) {
    Numbered& numbered = numbers.emplace_back();
    numbered.sequence = next;
    if (!message.deduplication_id.empty()) {
      const std::string_view id = message.deduplication_id;
      if (const auto seen = topic.seen_ids.find(id); seen != topic.seen_ids.end()) {
        numbered = {seen->second.sequence, true};
      } else if (const auto [first, fresh] = in_batch.emplace(id, next); !fresh) {
        numbered = {first->second, true};
      }
    }
    if (!numbered.duplicate) ++next;
  }
  return numbers;
}

Result<void> Ledger::check_room(const LedgerTopic& topic,
                                const std::vector<OutgoingMessage>& messages,
                                const std::vector<Numbered>& numbers) const {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t id_bytes = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (numbers[i].duplicate) continue;
    ++count;
    bytes += message_size(messages[i].payload, messages[i].headers);
    id_bytes += messages[i].deduplication_id.size();
  }
  const auto refuse = [&](const std::string& have, std::uint64_t more, std::uint64_t limit,
                          const std::string& unit) {
    return full(have + " and " + std::to_string(more) + " more would pass the limit of " +
                std::to_string(limit) + " " + unit +
                "; publish again when consumers have caught up");
  };
  if (topic.messages + count > options_.max_messages_per_topic) {
    return refuse(
        "topic \"" + topic.name + "\" holds " + std::to_string(topic.messages) + " messages", count,
        options_.max_messages_per_topic, "messages a topic");
  }
  bytes += count * options_.message_overhead.bytes;
  if (held_bytes_ + bytes > options_.max_bytes.bytes) {
    return refuse("the queue holds " + std::to_string(held_bytes_) + " bytes", bytes,
                  options_.max_bytes.bytes, "bytes");
  }
  if (deduplication_bytes_ + id_bytes > kMaxDeduplicationBytes) {
    return refuse(
        "the queue remembers " + std::to_string(deduplication_bytes_) + " bytes of message ids",
        id_bytes, kMaxDeduplicationBytes, "bytes of ids");
  }
  return {};
}

void Ledger::hold(Now now, LedgerTopic& topic, OutgoingMessage message, bool in_progress) {
  HeldMessage held;
  held.sequence = topic.next_sequence++;
  held.size = message_size(message.payload, message.headers);
  held.payload = std::move(message.payload);
  held.headers = std::move(message.headers);
  held.published = now.wall;
  if (!message.deduplication_id.empty()) {
    const SteadyTime forgotten = now.steady + options_.deduplication_window;
    const auto seen =
        topic.seen_ids.emplace(message.deduplication_id, SeenId{held.sequence, now.wall, forgotten})
            .first;
    topic.seen_order.push_back(&seen->first);
    deduplication_bytes_ += message.deduplication_id.size();
    note_deadline(forgotten);
  }
  count_in(topic, held);
  if (journal_) journal_->accepted(topic.number, held, message.deduplication_id, in_progress);
  topic.held.push_back(std::move(held));
}

Result<Ledger::Accepted> Ledger::accept(Now now, const std::string& topic,
                                        std::vector<OutgoingMessage> messages,
                                        std::optional<ShardProgress> progress) {
  const ShardProgress* steps = progress ? &*progress : nullptr;
  if (auto ok = check_publish(options_, topic, messages, steps); !ok) return ok.error();
  if (progress) {
    const auto verdict = judge(now, topic, *progress);
    if (!verdict) return verdict.error();
    if (*verdict == ShardBoard::Verdict::kRepetition) return repeat(topic, messages.size());
  }
  auto found = topic_for(now, topic);
  if (!found) return found.error();
  LedgerTopic& holder = **found;
  forget_old_ids(now.steady, holder);
  // What has expired to the dead letters no longer counts.
  for (auto& [name, group] : holder.groups) expire(now, holder, group);

  const std::vector<Numbered> numbers = number(holder, messages);
  if (auto ok = check_room(holder, messages, numbers); !ok) {
    holder.rejected_total += messages.size();
    return ok.error();
  }
  Accepted accepted;
  accepted.topic = holder.number;
  accepted.first = holder.next_sequence;
  accepted.results.reserve(messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const MessageKey key{identity_.epoch, holder.number, numbers[i].sequence};
    accepted.results.push_back({format_message_id(key), numbers[i].duplicate});
    if (numbers[i].duplicate) {
      ++holder.deduplicated_total;
    } else {
      hold(now, holder, std::move(messages[i]), progress.has_value());
    }
  }
  accepted.end = holder.next_sequence;
  holder.published_total += accepted.end - accepted.first;
  if (progress) {
    find_board(topic, progress->source)->move(now.steady, *progress);
    if (journal_) {
      journal_->progressed(holder.number, *progress, accepted.first, accepted.end);
    }
    accepted.progress = std::move(progress);
  }
  return accepted;
}

// The answer to a publish whose progress has been made.
Ledger::Accepted Ledger::repeat(const std::string& topic, std::size_t messages) {
  LedgerTopic& holder = *find_topic(topic);
  holder.deduplicated_total += messages;
  Accepted accepted;
  accepted.topic = holder.number;
  accepted.results.assign(messages, PublishResult{{}, true});
  return accepted;
}

void Ledger::commit(const Accepted& accepted) {
  LedgerTopic* holder = topic_by_number(accepted.topic);
  if (holder == nullptr) return;
  show(*holder, accepted.first, accepted.end);
  if (!accepted.progress) return;
  const auto board = holder->boards.find(accepted.progress->source);
  if (board != holder->boards.end()) board->second.settle(*accepted.progress);
}

void Ledger::show(LedgerTopic& topic, std::uint64_t first, std::uint64_t end) {
  if (first == end) return;
  const auto groups = static_cast<std::uint32_t>(topic.groups.size());
  std::uint64_t shown = 0;
  HeldMessage* message = topic.held.at_or_after(first);
  for (; message != topic.held.end() && message->sequence < end; ++message) {
    if (message->removed) continue;
    message->pending = std::max(groups, 1U);
    ++shown;
  }
  topic.shown_end = std::max(topic.shown_end, end);
  for (auto& [name, group] : topic.groups) group.fresh += shown;
}

void Ledger::withdraw(const Accepted& accepted) {
  LedgerTopic* holder = topic_by_number(accepted.topic);
  if (holder == nullptr) return;
  if (accepted.progress) {
    const auto board = holder->boards.find(accepted.progress->source);
    if (board != holder->boards.end()) board->second.undo(*accepted.progress);
  }
  const std::uint64_t first = accepted.first;
  const std::uint64_t end = accepted.end;
  if (first == end) return;
  const auto withdrawn = [first, end](const SeenId& seen) {
    return seen.sequence >= first && seen.sequence < end;
  };
  std::erase_if(holder->seen_order, [&](const std::string* id) {
    return withdrawn(holder->seen_ids.find(*id)->second);
  });
  for (auto seen = holder->seen_ids.begin(); seen != holder->seen_ids.end();) {
    if (withdrawn(seen->second)) {
      deduplication_bytes_ -= seen->first.size();
      seen = holder->seen_ids.erase(seen);
    } else {
      ++seen;
    }
  }
  for (std::uint64_t sequence = first; sequence < end; ++sequence) {
    drop_pending(*holder, sequence);
  }
  holder->shown_end = std::max(holder->shown_end, end);
  holder->published_total -= end - first;
}

void Ledger::forget_old_ids(SteadyTime now, LedgerTopic& topic) {
  while (!topic.seen_order.empty()) {
    const auto seen = topic.seen_ids.find(*topic.seen_order.front());
    if (seen->second.forgotten > now) return;
    deduplication_bytes_ -= seen->first.size();
    topic.seen_order.pop_front();
    topic.seen_ids.erase(seen);
  }
}

}  // namespace gpu_telemetry::queue
