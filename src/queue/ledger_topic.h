// One topic, as the ledger keeps it: its messages, its groups and the ids it has seen lately.
// Private to the ledger.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "queue/ledger_group.h"
#include "queue/ledger_journal.h"
#include "queue/sequence_table.h"
#include "queue/shard_board.h"

namespace gpu_telemetry::queue {

struct SeenId {
  std::uint64_t sequence = 0;  // of the message that came with it first
  Timestamp seen;
  SteadyTime forgotten;  // when the id may come again
};

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

struct LedgerTopic {
  std::string name;
  std::uint32_t number = 0;
  std::uint64_t next_sequence = 1;
  std::uint64_t shown_end = 1;  // messages before it are committed
  SteadyTime last_used;

  SequenceTable<HeldMessage> held;
  std::uint64_t messages = 0;  // of `held`, those that count: not dead letters only
  std::uint64_t bytes = 0;

  std::map<std::string, LedgerGroup, std::less<>> groups;

  std::map<std::string, ShardBoard, std::less<>> boards;  // by source

  std::unordered_map<std::string, SeenId, StringHash, std::equal_to<>> seen_ids;
  // Keys of seen_ids in the order in which they are forgotten.
  std::deque<const std::string*> seen_order;

  std::uint64_t published_total = 0;
  std::uint64_t rejected_total = 0;
  std::uint64_t deduplicated_total = 0;
};

}  // namespace gpu_telemetry::queue
