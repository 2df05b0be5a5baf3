#include "queue/durable/queue_records.h"

#include <algorithm>

#include "io/bytes.h"

namespace gpu_telemetry::queue {
namespace {

void put_text(std::string& out, std::string_view text) {
  io::append_varint(out, text.size());
  out.append(text);
}

void put_place(std::string& out, std::uint64_t change, std::uint32_t topic,
               std::string_view group) {
  io::append_varint(out, change);
  io::append_varint(out, topic);
  put_text(out, group);
}

SteadyTime steady_of(Now now, std::int64_t wall_milliseconds) {
  const std::int64_t from_now = wall_milliseconds - unix_milliseconds(now.wall);
  constexpr std::int64_t kMost = Milliseconds(kMaxDelay).count();
  return now.steady + Milliseconds{std::clamp(from_now, std::int64_t{0}, kMost)};
}

}  // namespace

void put_message_head(std::string& out, std::uint64_t change, std::uint32_t topic,
                      const HeldMessage& message, std::string_view deduplication_id) {
  io::append_varint(out, change);
  io::append_varint(out, topic);
  io::append_varint(out, message.sequence);
  io::append_varint(out, io::zigzag(unix_milliseconds(message.published)));
  put_text(out, deduplication_id);
  io::append_varint(out, message.headers.size());
  for (const auto& [name, value] : message.headers) {
    put_text(out, name);
    put_text(out, value);
  }
}

void put_leased(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view group,
                std::span<const GroupEntry> entries) {
  put_place(out, change, topic, group);
  io::append_varint(out, entries.size());
  std::uint64_t last_sequence = 0;
  std::uint64_t last_stamp = 0;
  for (const GroupEntry& entry : entries) {
    // Ascending within one fetch, so that a step takes a byte.
    io::append_varint(out, entry.sequence - last_sequence);
    io::append_varint(out, entry.stamp - last_stamp);
    io::append_varint(out, entry.count);
    last_sequence = entry.sequence;
    last_stamp = entry.stamp;
  }
}

void put_waiting(std::string& out, std::uint64_t change, std::uint32_t topic,
                 std::string_view group, std::span<const GroupEntry> entries, Now now) {
  put_place(out, change, topic, group);
  io::append_varint(out, entries.size());
  for (const GroupEntry& entry : entries) {
    io::append_varint(out, entry.sequence);
    io::append_varint(out, entry.stamp);
    io::append_varint(out, entry.count);
    out.push_back(static_cast<char>(static_cast<int>(entry.state) | (entry.expired ? 16 : 0)));
    if (entry.state != EntryState::kDelayed) continue;
    const Timestamp due = now.wall + std::chrono::ceil<Milliseconds>(entry.due - now.steady);
    io::append_varint(out, io::zigzag(unix_milliseconds(due)));
  }
}

void put_settled(std::string& out, std::uint64_t change, std::uint32_t topic,
                 std::string_view group, std::span<const std::uint64_t> sequences) {
  put_place(out, change, topic, group);
  io::append_varint(out, sequences.size());
  std::uint64_t last = 0;
  for (const std::uint64_t sequence : sequences) {
    io::append_varint(out, io::zigzag(static_cast<std::int64_t>(sequence - last)));
    last = sequence;
  }
}

void put_dead(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view group,
              const GroupEntry& entry, const DeathRecord& death) {
  put_place(out, change, topic, group);
  io::append_varint(out, entry.sequence);
  io::append_varint(out, entry.count);
  io::append_varint(out, io::zigzag(unix_milliseconds(death.died)));
  put_text(out, death.reason);
}

void put_topic(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view name,
               std::uint64_t next_sequence) {
  put_place(out, change, topic, name);
  io::append_varint(out, next_sequence);
}

void put_group(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view name) {
  put_place(out, change, topic, name);
}

void put_progress(std::string& out, std::uint64_t change, std::uint32_t topic,
                  const ShardProgress& progress, std::uint64_t first, std::uint64_t end) {
  put_place(out, change, topic, progress.source);
  io::append_varint(out, first);
  io::append_varint(out, end - first);
  io::append_varint(out, progress.steps.size());
  for (const ShardStep& step : progress.steps) {
    io::append_varint(out, step.shard);
    io::append_varint(out, step.from);
    io::append_varint(out, step.to - step.from);
    out.push_back(step.finished ? 1 : 0);
  }
}

void put_board(std::string& out, std::uint64_t change, std::uint32_t topic, std::string_view source,
               const ShardBoard& board) {
  put_place(out, change, topic, source);
  append_board(out, board);
}

void put_opened(std::string& out, std::uint64_t change, std::uint64_t generation) {
  put_place(out, change, static_cast<std::uint32_t>(generation), {});
}

std::vector<std::pair<std::uint8_t, std::string>> checkpoint_records(std::uint64_t change,
                                                                     std::string_view checkpoint,
                                                                     std::size_t part_size) {
  const std::size_t count =
      std::max<std::size_t>((checkpoint.size() + part_size - 1) / part_size, 1);
  std::vector<std::pair<std::uint8_t, std::string>> records;
  for (std::size_t i = 0; i < count; ++i) {
    std::string part;
    io::append_varint(part, change);
    io::append_varint(part, i);
    io::append_varint(part, count);
    part.append(checkpoint.substr(i * part_size, part_size));
    records.emplace_back(static_cast<std::uint8_t>(QueueRecord::kCheckpoint), std::move(part));
  }
  return records;
}

// --- reading

QueueReplay::QueueReplay(QueueOptions options, Now now)
    : options_(options),
      now_(now),
      ledger_(std::move(options), {random_epoch(), 0}),
      identity_(ledger_.identity()) {}

void QueueReplay::apply(std::uint8_t type, std::string_view payload, std::uint64_t segment) {
  bool readable = false;
  switch (static_cast<QueueRecord>(type)) {
    case QueueRecord::kCheckpoint:
      readable = apply_checkpoint(payload);
      break;
    case QueueRecord::kMessage:
    case QueueRecord::kCopy:
      readable = apply_message(static_cast<QueueRecord>(type), payload, segment);
      break;
    case QueueRecord::kStepMessage:
      readable = await_progress(payload, segment);
      break;
    case QueueRecord::kProgress:
      readable = apply_progress(payload);
      break;
    default:
      readable = apply_change(static_cast<QueueRecord>(type), payload);
  }
  if (!readable) ++unreadable_;
}

bool QueueReplay::apply_checkpoint(std::string_view payload) {
  io::ByteReader in(payload);
  const std::uint64_t change = in.varint();
  const std::uint64_t part = in.varint();
  const std::uint64_t parts = in.varint();
  if (!in.ok() || part >= parts) return false;
  if (part == 0) {
    parts_.clear();
    parts_seen_ = 0;
  }
  if (part != parts_seen_) return false;
  parts_.append(in.bytes(in.remaining()));
  if (++parts_seen_ < parts) return true;
  auto restored = Ledger::restore(options_, parts_, now_, ledger_);
  parts_.clear();
  if (!restored) return false;
  ledger_ = std::move(*restored);
  last_change_ = change;
  identity_ = ledger_.identity();
  return true;
}

bool QueueReplay::apply_message(QueueRecord type, std::string_view payload, std::uint64_t segment) {
  io::ByteReader in(payload);
  const std::uint64_t change = in.varint();
  const auto topic = static_cast<std::uint32_t>(in.varint());
  HeldMessage message;
  message.sequence = in.varint();
  message.published = from_unix_milliseconds(in.signed_varint());
  message.place = segment;
  const std::string_view id = in.sized_bytes();
  const std::uint64_t headers = in.varint();
  for (std::uint64_t i = 0; i < headers && in.ok(); ++i) {
    std::string name(in.sized_bytes());
    std::string value(in.sized_bytes());
    message.size += name.size() + value.size();
    message.headers.emplace_back(std::move(name), std::move(value));
  }
  if (!in.ok()) return false;
  const std::string_view body = in.bytes(in.remaining());
  message.size += body.size();
  // A change that the checkpoint has: only the message itself may still be wanted.
  const bool known = type == QueueRecord::kCopy || change <= last_change_;
  if (known && ledger_.find_message(topic, message.sequence) == nullptr) return true;
  message.payload = std::make_shared<const std::string>(body);
  if (known) {
    ledger_.replay_copy(topic, std::move(message));
  } else {
    ledger_.replay_accepted(now_, topic, std::move(message), id);
    last_change_ = change;
  }
  return true;
}

bool QueueReplay::await_progress(std::string_view payload, std::uint64_t segment) {
  io::ByteReader in(payload);
  in.varint();
  const auto topic = static_cast<std::uint32_t>(in.varint());
  const std::uint64_t sequence = in.varint();
  if (!in.ok()) return false;
  waiting_[{topic, sequence}] = {std::string(payload), segment};
  return true;
}

// A checkpoint may bear a later number and yet not have it: it was being stored then, and the
// shards are where its steps begin.
bool QueueReplay::apply_progress(std::string_view payload) {
  io::ByteReader in(payload);
  const std::uint64_t change = in.varint();
  const auto topic = static_cast<std::uint32_t>(in.varint());
  ShardProgress progress;
  progress.source = std::string(in.sized_bytes());
  const std::uint64_t first = in.varint();
  const std::uint64_t count = in.varint();
  const std::uint64_t steps = in.varint();
  for (std::uint64_t i = 0; i < steps && in.ok(); ++i) {
    ShardStep& step = progress.steps.emplace_back();
    step.shard = static_cast<std::uint32_t>(in.varint());
    step.from = in.varint();
    step.to = step.from + in.varint();
    step.finished = in.fixed<std::uint8_t>() != 0;
    if (step.shard >= kShards) return false;
  }
  if (!in.ok()) return false;
  bool readable = true;
  for (const auto& [place, message] : waiting_) {
    if (place.first != topic || place.second < first || place.second - first >= count) continue;
    const bool applied = apply_message(QueueRecord::kMessage, message.payload, message.segment);
    readable = readable && applied;
  }
  waiting_.clear();
  ledger_.replay_progress(topic, progress);
  last_change_ = std::max(last_change_, change);
  return readable;
}

bool QueueReplay::apply_change(QueueRecord type, std::string_view payload) {
  io::ByteReader in(payload);
  const std::uint64_t change = in.varint();
  const auto topic = static_cast<std::uint32_t>(in.varint());
  const std::string_view name = in.sized_bytes();
  if (!in.ok()) return false;
  if (change <= last_change_) return true;
  last_change_ = change;
  if (type == QueueRecord::kOpened) {
    identity_.generation = topic;
    return true;
  }
  const bool batch = type == QueueRecord::kLeased || type == QueueRecord::kWaiting ||
                     type == QueueRecord::kSettled;
  const std::uint64_t entries = batch ? in.varint() : 0;
  GroupEntry entry;
  for (std::uint64_t i = 0; i < entries && in.ok(); ++i) {
    if (type == QueueRecord::kSettled) {
      entry.sequence += static_cast<std::uint64_t>(in.signed_varint());
      if (in.ok()) ledger_.replay_settled(topic, name, entry.sequence);
      continue;
    }
    const bool leased = type == QueueRecord::kLeased;
    entry.sequence = in.varint() + (leased ? entry.sequence : 0);
    entry.stamp = in.varint() + (leased ? entry.stamp : 0);
    entry.count = static_cast<std::uint32_t>(in.varint());
    entry.state = EntryState::kLeased;
    if (!leased) {
      const auto state = in.fixed<std::uint8_t>();
      entry.expired = (state & 16) != 0;
      entry.state = (state & 15) == static_cast<int>(EntryState::kDelayed) ? EntryState::kDelayed
                                                                           : EntryState::kReady;
      if (entry.state == EntryState::kDelayed) entry.due = steady_of(now_, in.signed_varint());
    }
    if (in.ok()) ledger_.replay_changed(now_, topic, name, entry);
  }
  if (type == QueueRecord::kDead) {
    entry.sequence = in.varint();
    entry.count = static_cast<std::uint32_t>(in.varint());
    const std::int64_t died = in.signed_varint();
    std::string reason(in.sized_bytes());
    if (in.ok()) {
      ledger_.replay_died(now_, topic, name, entry, from_unix_milliseconds(died),
                          std::move(reason));
    }
  } else if (type == QueueRecord::kTopicCreated) {
    const std::uint64_t next_sequence = in.varint();
    if (in.ok()) ledger_.replay_topic_created(now_, topic, name, next_sequence);
  } else if (type == QueueRecord::kTopicRemoved) {
    ledger_.replay_topic_removed(topic);
  } else if (type == QueueRecord::kGroupCreated) {
    ledger_.replay_group_created(now_, topic, name);
  } else if (type == QueueRecord::kGroupDeleted) {
    ledger_.replay_group_deleted(topic, name);
  } else if (type == QueueRecord::kBoard) {
    ShardBoard board(now_.steady);
    if (!read_board(in, now_.steady, board)) return false;
    ledger_.replay_board(topic, name, std::move(board));
  } else if (type == QueueRecord::kBoardRemoved) {
    ledger_.replay_board_removed(topic, name);
  } else if (!batch) {
    return false;
  }
  return in.ok();
}

}  // namespace gpu_telemetry::queue
