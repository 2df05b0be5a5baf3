// A ledger's state as bytes, without the messages. docs/formats/queue-log.md has the layout.
#include <algorithm>
#include <iterator>

#include "io/bytes.h"
#include "queue/ledger.h"
#include "queue/ledger_topic.h"

namespace gpu_telemetry::queue {
namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::uint8_t kVersionWithoutBoards = 1;

void put_text(std::string& out, std::string_view text) {
  io::append_varint(out, text.size());
  out.append(text);
}
void put_signed(std::string& out, std::int64_t value) { io::append_varint(out, io::zigzag(value)); }
Timestamp wall_of(Now now, SteadyTime due) {
  return now.wall + std::chrono::ceil<Milliseconds>(due - now.steady);
}
SteadyTime steady_of(Now now, std::int64_t wall_milliseconds) {
  // A wall clock that was far off must not make a time that cannot be counted with.
  constexpr std::int64_t kMost = 10LL * 366 * 24 * 3600 * 1000;
  const std::int64_t from_now = wall_milliseconds - unix_milliseconds(now.wall);
  return now.steady + Milliseconds{std::clamp(from_now, -kMost, kMost)};
}

}  // namespace

// Members, then of each shard its fence and the number of its owner among them, from 1; 0: free.
void append_board(std::string& out, const ShardBoard& board) {
  io::append_varint(out, board.members().size());
  for (const auto& [name, member] : board.members()) {
    put_text(out, name);
    io::append_varint(out, static_cast<std::uint64_t>(member.ttl.count()));
  }
  for (const ShardBoard::Shard& shard : board.shards()) {
    io::append_varint(out, shard.fence);
    const auto owner = board.members().find(shard.owner);
    const auto place = std::distance(board.members().begin(), owner) + 1;
    io::append_varint(out, owner == board.members().end() ? 0 : static_cast<std::uint64_t>(place));
  }
}

bool read_board(io::ByteReader& in, SteadyTime now, ShardBoard& board) {
  const std::uint64_t members = in.varint();
  std::vector<std::string> names;
  for (std::uint64_t i = 0; i < members && in.ok(); ++i) {
    std::string name(in.sized_bytes());
    const auto most = static_cast<std::uint64_t>(Milliseconds(kMaxMembership).count());
    const Milliseconds ttl{static_cast<std::int64_t>(std::min(in.varint(), most))};
    board.put_member(now, name, ttl);
    names.push_back(std::move(name));
  }
  for (std::uint32_t number = 0; number < kShards && in.ok(); ++number) {
    ShardBoard::Shard& shard = board.shard(number);
    shard.fence = in.varint();
    const std::uint64_t owner = in.varint();
    if (owner > names.size()) return false;
    if (owner > 0) shard.owner = names[owner - 1];
  }
  return in.ok();
}

class CheckpointWriter {
 public:
  CheckpointWriter(const Ledger& ledger, Now now) : ledger_(ledger), now_(now) {}

  std::string write() {
    out_.push_back(static_cast<char>(kVersion));
    io::append_fixed(out_, ledger_.identity_.epoch);
    io::append_varint(out_, ledger_.identity_.generation);
    io::append_varint(out_, ledger_.first_sequences_.size());
    for (const std::uint64_t first : ledger_.first_sequences_) io::append_varint(out_, first);
    io::append_varint(out_, ledger_.topics_.size());
    for (const auto& [name, topic] : ledger_.topics_) write_topic(*topic);
    return std::move(out_);
  }

 private:
  void write_topic(const LedgerTopic& topic) {
    put_text(out_, topic.name);
    io::append_varint(out_, topic.number);
    io::append_varint(out_, topic.next_sequence);
    io::append_varint(out_, topic.held.size());
    std::uint64_t last = 0;
    for (const HeldMessage& message : topic.held) {
      if (message.removed) continue;
      io::append_varint(out_, message.sequence - last);
      io::append_varint(out_, message.size);
      last = message.sequence;
    }
    io::append_varint(out_, topic.groups.size());
    for (const auto& [name, group] : topic.groups) write_group(group);
    io::append_varint(out_, topic.seen_order.size());
    for (const std::string* id : topic.seen_order) {
      const SeenId& seen = topic.seen_ids.find(*id)->second;
      put_text(out_, *id);
      io::append_varint(out_, seen.sequence);
      put_signed(out_, unix_milliseconds(seen.seen));
    }
    io::append_varint(out_, topic.boards.size());
    for (const auto& [source, board] : topic.boards) {
      put_text(out_, source);
      append_board(out_, board);
      for (const ShardBoard::Shard& shard : board.shards()) {
        // What is being stored moves the shard again when it is read back.
        io::append_varint(out_, shard.stored().position);
        out_.push_back(shard.stored().finished ? 1 : 0);
      }
    }
  }

  void write_group(const LedgerGroup& group) {
    put_text(out_, group.name());
    io::append_varint(out_, group.cursor);
    io::append_varint(out_, group.entries().size());
    std::uint64_t last = 0;
    for (const GroupEntry& entry : group.entries()) {
      if (entry.removed) continue;
      io::append_varint(out_, entry.sequence - last);
      last = entry.sequence;
      out_.push_back(static_cast<char>(static_cast<int>(entry.state) | (entry.expired ? 16 : 0)));
      io::append_varint(out_, entry.count);
      io::append_varint(out_, entry.stamp);
      if (entry.state == EntryState::kDelayed) {
        put_signed(out_, unix_milliseconds(wall_of(now_, entry.due)));
      } else if (entry.state == EntryState::kDead) {
        const DeathRecord& death = group.deaths().find(entry.stamp)->second;
        put_signed(out_, unix_milliseconds(death.died));
        put_text(out_, death.reason);
      }
    }
  }

  const Ledger& ledger_;
  const Now now_;
  std::string out_;
};

class CheckpointReader {
 public:
  CheckpointReader(std::string_view bytes, Now now, Ledger& earlier, Ledger& ledger)
      : in_(bytes), now_(now), earlier_(earlier), ledger_(ledger) {}

  Result<void> read() {
    version_ = in_.fixed<std::uint8_t>();
    if (version_ != kVersion && version_ != kVersionWithoutBoards) {
      return damaged("an unknown version");
    }
    ledger_.identity_.epoch = in_.fixed<std::uint64_t>();
    ledger_.identity_.generation = in_.varint();
    if (ledger_.identity_.epoch > kMaxEpoch) return damaged("an epoch that no id can name");
    const std::uint64_t numbers = in_.varint();
    if (!in_.ok() || numbers > kMaxTopics) return damaged("too many topic numbers");
    for (std::uint64_t i = 0; i < numbers; ++i) {
      ledger_.first_sequences_.push_back(in_.varint());
      if (ledger_.first_sequences_.back() > kMaxStoredSequence + 1) return damaged("a sequence");
    }
    ledger_.by_number_.resize(numbers, nullptr);
    const std::uint64_t topics = in_.varint();
    for (std::uint64_t i = 0; i < topics && in_.ok(); ++i) {
      if (auto ok = read_topic(); !ok) return ok;
    }
    if (!in_.ok() || in_.remaining() != 0) return damaged("it ends early or late");
    for (std::uint32_t number = 0; number < numbers; ++number) {
      if (ledger_.by_number_[number] == nullptr) ledger_.free_numbers_.push_back(number);
    }
    return {};
  }

 private:
  static Error damaged(const std::string& what) { return corrupt("queue checkpoint: " + what); }

  Result<void> read_topic() {
    const std::string name(in_.sized_bytes());
    const std::uint64_t number = in_.varint();
    const std::uint64_t next_sequence = in_.varint();
    if (!in_.ok() || number >= ledger_.by_number_.size() || ledger_.by_number_[number] ||
        next_sequence > kMaxStoredSequence + 1 || !is_valid_name(name) ||
        ledger_.find_topic(name)) {
      return damaged("a topic that cannot be");
    }
    LedgerTopic& topic =
        ledger_.add_topic(now_, static_cast<std::uint32_t>(number), name, next_sequence);
    const std::uint64_t messages = in_.varint();
    std::uint64_t sequence = 0;
    for (std::uint64_t i = 0; i < messages && in_.ok(); ++i) {
      const std::uint64_t step = in_.varint();
      sequence += step;
      const std::uint64_t size = in_.varint();
      if (!in_.ok() || step == 0 || sequence >= next_sequence) return damaged("a message");
      hold(topic, sequence, size);
    }
    const std::uint64_t groups = in_.varint();
    for (std::uint64_t i = 0; i < groups && in_.ok(); ++i) {
      if (auto ok = read_group(topic); !ok) return ok;
    }
    count(topic);
    if (auto ok = read_ids(topic); !ok) return ok;
    return version_ == kVersionWithoutBoards ? Result<void>() : read_boards(topic);
  }

  void hold(LedgerTopic& topic, std::uint64_t sequence, std::uint64_t size) {
    HeldMessage message;
    if (HeldMessage* known = earlier_.find_message(topic.number, sequence)) {
      message.payload = known->payload;
      message.headers = known->headers;
      message.published = known->published;
      message.place = known->place;
    }
    message.sequence = sequence;
    message.size = size;
    message.pending = 0;
    topic.held.push_back(std::move(message));
  }

  Result<void> read_group(LedgerTopic& topic) {
    const std::string name(in_.sized_bytes());
    const std::uint64_t cursor = in_.varint();
    if (!in_.ok() || !is_valid_name(name) || topic.groups.count(name) > 0) {
      return damaged("a group that cannot be");
    }
    LedgerGroup& group = topic.groups.try_emplace(name, name, cursor, now_.steady).first->second;
    const std::uint64_t entries = in_.varint();
    std::uint64_t sequence = 0;
    for (std::uint64_t i = 0; i < entries && in_.ok(); ++i) {
      const std::uint64_t step = in_.varint();
      sequence += step;
      HeldMessage* message = topic.held.find(sequence);
      if (step == 0 || message == nullptr || sequence >= cursor) return damaged("an entry");
      if (auto ok = read_entry(group, *message); !ok) return ok;
    }
    for (HeldMessage& message : topic.held) {
      if (message.sequence < cursor) continue;
      ++message.pending;
      ++group.fresh;
    }
    return {};
  }

  Result<void> read_entry(LedgerGroup& group, HeldMessage& message) {
    GroupEntry entry;
    entry.sequence = message.sequence;
    const auto state = in_.fixed<std::uint8_t>();
    if ((state & 15) >= kEntryStates) return damaged("an entry's state");
    entry.state = static_cast<EntryState>(state & 15);
    entry.expired = (state & 16) != 0;
    entry.count = static_cast<std::uint32_t>(in_.varint());
    entry.stamp = in_.varint();
    DeathRecord death;
    if (entry.state == EntryState::kDelayed) entry.due = steady_of(now_, in_.signed_varint());
    if (entry.state == EntryState::kLeased) {
      entry.due = now_.steady + ledger_.options_.visibility_timeout;
    }
    if (entry.state == EntryState::kDead) {
      death.sequence = entry.sequence;
      death.bytes = message.size;
      death.died = from_unix_milliseconds(in_.signed_varint());
      death.reason = std::string(in_.sized_bytes());
      ++message.dead;
      ledger_.dead_bytes_ += message.size;
      if (group.deaths().count(entry.stamp) > 0) return damaged("two deaths in one place");
    } else {
      ++message.pending;
      if (entry.state != EntryState::kReady) ledger_.note_deadline(entry.due);
    }
    group.put_back(entry, std::move(death));
    return {};
  }

  void count(LedgerTopic& topic) {
    for (HeldMessage& message : topic.held) {
      if (topic.groups.empty()) message.pending = 1;
      if (message.pending > 0) ledger_.count_in(topic, message);
    }
    std::vector<std::uint64_t> unused;
    for (const HeldMessage& message : topic.held) {
      if (message.pending == 0 && message.dead == 0) unused.push_back(message.sequence);
    }
    for (const std::uint64_t sequence : unused) topic.held.erase(*topic.held.find(sequence));
  }

  Result<void> read_ids(LedgerTopic& topic) {
    const std::uint64_t ids = in_.varint();
    for (std::uint64_t i = 0; i < ids && in_.ok(); ++i) {
      std::string id(in_.sized_bytes());
      SeenId seen;
      seen.sequence = in_.varint();
      const std::int64_t when = in_.signed_varint();
      seen.seen = from_unix_milliseconds(when);
      seen.forgotten = steady_of(now_, when) + ledger_.options_.deduplication_window;
      const std::size_t size = id.size();
      const auto [stored, fresh] = topic.seen_ids.emplace(std::move(id), seen);
      if (!fresh) return damaged("an id twice");
      topic.seen_order.push_back(&stored->first);
      ledger_.deduplication_bytes_ += size;
    }
    return {};
  }

  Result<void> read_boards(LedgerTopic& topic) {
    const std::uint64_t boards = in_.varint();
    for (std::uint64_t i = 0; i < boards && in_.ok(); ++i) {
      std::string source(in_.sized_bytes());
      ShardBoard board(now_.steady);
      if (!read_board(in_, now_.steady, board)) return damaged("a board of shards");
      for (std::uint32_t number = 0; number < kShards; ++number) {
        board.shard(number).position = in_.varint();
        board.shard(number).finished = in_.fixed<std::uint8_t>() != 0;
      }
      if (!topic.boards.emplace(std::move(source), std::move(board)).second) {
        return damaged("a board twice");
      }
    }
    return {};
  }

  io::ByteReader in_;
  std::uint8_t version_ = kVersion;
  const Now now_;
  Ledger& earlier_;
  Ledger& ledger_;
};

std::string Ledger::checkpoint(Now now) const { return CheckpointWriter(*this, now).write(); }

Result<Ledger> Ledger::restore(QueueOptions options, std::string_view checkpoint, Now now,
                               Ledger& earlier) {
  Ledger ledger(std::move(options), {});
  if (auto ok = CheckpointReader(checkpoint, now, earlier, ledger).read(); !ok) return ok.error();
  return ledger;
}

}  // namespace gpu_telemetry::queue
