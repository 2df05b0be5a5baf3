// How readers share sources through a ledger: boards of shards, and what a publish moves on them.
#include <algorithm>

#include "observability/log.h"
#include "queue/ledger.h"
#include "queue/ledger_topic.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {

void Ledger::board_changed(const LedgerTopic& topic, std::string_view source,
                           const ShardBoard& board) {
  note_deadline(board.next_deadline(options_.idle_group_lifetime));
  if (journal_) journal_->board_changed(topic.number, source, board);
}

void Ledger::remove_board(LedgerTopic& topic, std::string_view source) {
  if (journal_) journal_->board_removed(topic.number, source);
  topic.boards.erase(topic.boards.find(source));
}

Result<ShardAssignment> Ledger::shards(Now now, const ShardRequest& request) {
  if (auto ok = check_shards(request); !ok) return ok.error();
  if (request.leave && find_board(request.topic, request.source) == nullptr) {
    return ShardAssignment{};
  }
  auto holder = topic_for(now, request.topic);
  if (!holder) return holder.error();
  LedgerTopic& topic = **holder;
  auto found = topic.boards.find(request.source);
  if (found == topic.boards.end()) {
    if (topic.boards.size() >= kMaxBoardsPerTopic) {
      return full("topic \"" + topic.name + "\" has " + std::to_string(kMaxBoardsPerTopic) +
                  " shared sources, the most that it takes");
    }
    found = topic.boards.try_emplace(request.source, now.steady).first;
  }
  ShardBoard& board = found->second;
  bool changed = board.expire(now.steady);
  auto assignment = board.serve(now.steady, request, changed);
  if (changed) board_changed(topic, request.source, board);
  note_deadline(board.next_deadline(options_.idle_group_lifetime));
  const bool done = board.members().empty() && board.finished() && !board.storing();
  if (assignment && request.leave && done) remove_board(topic, request.source);
  return assignment;
}

ShardBoard* Ledger::find_board(std::string_view topic, std::string_view source) const {
  LedgerTopic* holder = find_topic(topic);
  if (holder == nullptr) return nullptr;
  const auto found = holder->boards.find(source);
  return found == holder->boards.end() ? nullptr : &found->second;
}

Result<ShardBoard::Verdict> Ledger::judge(Now now, const std::string& topic,
                                          const ShardProgress& progress) {
  ShardBoard* board = find_board(topic, progress.source);
  if (board == nullptr) {
    return conflict("source \"" + progress.source + "\" has no members in topic \"" + topic +
                    "\": its leases are lost");
  }
  if (board->expire(now.steady)) board_changed(*find_topic(topic), progress.source, *board);
  return board->judge(progress);
}

void Ledger::tick_boards(Now now, LedgerTopic& topic, SteadyTime& next) {
  for (auto at = topic.boards.begin(); at != topic.boards.end();) {
    ShardBoard& board = at->second;
    if (board.expire(now.steady)) board_changed(topic, at->first, board);
    if (board.is_idle(now.steady, options_.idle_group_lifetime)) {
      observability::log_info("Forgot how far a source was published that nobody reads",
                              {{"topic", topic.name}, {"source", at->first}});
      if (journal_) journal_->board_removed(topic.number, at->first);
      at = topic.boards.erase(at);
      continue;
    }
    const SteadyTime deadline = board.next_deadline(options_.idle_group_lifetime);
    if (deadline > now.steady) next = std::min(next, deadline);
    ++at;
  }
}

// --- reading back

void Ledger::replay_board(std::uint32_t topic, std::string_view source, ShardBoard board) {
  LedgerTopic* holder = topic_by_number(topic);
  if (holder == nullptr) return;
  const auto known = holder->boards.find(source);
  if (known == holder->boards.end()) {
    if (holder->boards.size() < kMaxBoardsPerTopic) {
      holder->boards.emplace(source, std::move(board));
    }
    return;
  }
  // Positions move with what was published alone.
  for (std::uint32_t number = 0; number < kShards; ++number) {
    ShardBoard::Shard& shard = board.shard(number);
    shard.position = known->second.shards()[number].position;
    shard.finished = known->second.shards()[number].finished;
  }
  known->second = std::move(board);
}

void Ledger::replay_board_removed(std::uint32_t topic, std::string_view source) {
  LedgerTopic* holder = topic_by_number(topic);
  if (holder == nullptr) return;
  if (const auto known = holder->boards.find(source); known != holder->boards.end()) {
    holder->boards.erase(known);
  }
}

void Ledger::replay_progress(std::uint32_t topic, const ShardProgress& progress) {
  LedgerTopic* holder = topic_by_number(topic);
  if (holder == nullptr) return;
  const auto known = holder->boards.find(progress.source);
  if (known != holder->boards.end()) known->second.replay(progress);
}

}  // namespace gpu_telemetry::queue
