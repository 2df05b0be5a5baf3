#include "queue/shard_board.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace gpu_telemetry::queue {

bool ShardBoard::expire(SteadyTime now) {
  const std::size_t before = members_.size();
  for (auto at = members_.begin(); at != members_.end();) {
    if (at->second.deadline > now) {
      ++at;
      continue;
    }
    release(at->first);
    at = members_.erase(at);
  }
  if (before == members_.size()) return false;
  if (members_.empty()) empty_since_ = now;
  return true;
}

Result<ShardAssignment> ShardBoard::serve(SteadyTime now, const ShardRequest& request,
                                          bool& changed) {
  const bool known = members_.contains(request.member);
  if (request.leave) {
    release(request.member);
    members_.erase(request.member);
    if (members_.empty() && known) empty_since_ = now;
    changed = changed || known;
    return assignment(request.member);
  }
  if (!known && members_.size() >= kMaxMembersPerBoard) {
    return full("source \"" + request.source + "\" has " + std::to_string(kMaxMembersPerBoard) +
                " members, the most that it takes");
  }
  members_[request.member] = {request.ttl, now + request.ttl};
  changed = changed || !known;
  for (const std::uint32_t number : request.give_back) {
    Shard& shard = shards_[number];
    if (shard.owner != request.member) continue;
    shard.owner.clear();
    changed = true;
  }
  if (grant(request.member)) changed = true;
  return assignment(request.member);
}

// Unfinished shards first, then by number.
bool ShardBoard::grant(const std::string& member) {
  const std::size_t fair = share(member);
  std::size_t has = held(member);
  bool granted = false;
  for (const bool finished : {false, true}) {
    for (Shard& shard : shards_) {
      if (has >= fair) return granted;
      if (!shard.owner.empty() || shard.finished != finished) continue;
      shard.owner = member;
      ++shard.fence;
      ++has;
      granted = true;
    }
  }
  return granted;
}

Result<ShardBoard::Verdict> ShardBoard::judge(const ShardProgress& progress) const {
  bool next = true;
  bool repetition = true;
  const ShardStep* moved = nullptr;
  for (const ShardStep& step : progress.steps) {
    const Shard& shard = shards_[step.shard];
    const std::string which =
        "shard " + std::to_string(step.shard) + " of source \"" + progress.source + "\": ";
    if (shard.owner != progress.member || shard.fence != step.fence) {
      return conflict(which + "its lease is lost");
    }
    if (shard.before) {
      return unavailable(which + "an earlier publish is still being stored: try again");
    }
    if (shard.position != step.from) {
      next = false;
      moved = &step;
    }
    repetition = repetition && shard.position == step.to;
  }
  if (next) return Verdict::kNext;
  if (repetition) return Verdict::kRepetition;
  return conflict("shard " + std::to_string(moved->shard) + " of source \"" + progress.source +
                  "\": its position is " + std::to_string(shards_[moved->shard].position) +
                  " and not " + std::to_string(moved->from));
}

void ShardBoard::move(SteadyTime now, const ShardProgress& progress) {
  for (const ShardStep& step : progress.steps) {
    Shard& shard = shards_[step.shard];
    shard.before = Shard::Stored{shard.position, shard.finished};
    shard.position = step.to;
    shard.finished = step.finished;
  }
  if (const auto member = members_.find(progress.member); member != members_.end()) {
    member->second.deadline = now + member->second.ttl;
  }
}

void ShardBoard::settle(const ShardProgress& progress) {
  for (const ShardStep& step : progress.steps) shards_[step.shard].before.reset();
}

void ShardBoard::undo(const ShardProgress& progress) {
  for (const ShardStep& step : progress.steps) {
    Shard& shard = shards_[step.shard];
    if (!shard.before) continue;
    shard.position = shard.before->position;
    shard.finished = shard.before->finished;
    shard.before.reset();
  }
}

void ShardBoard::replay(const ShardProgress& progress) {
  for (const ShardStep& step : progress.steps) {
    Shard& shard = shards_[step.shard];
    if (shard.position != step.from) continue;
    shard.position = step.to;
    shard.finished = step.finished;
  }
}

// What is being stored does not count yet: who hears of the end stops reading for good.
bool ShardBoard::finished() const {
  return std::ranges::all_of(shards_, [](const Shard& shard) { return shard.stored().finished; });
}

bool ShardBoard::storing() const {
  return std::ranges::any_of(shards_, [](const Shard& shard) { return shard.before.has_value(); });
}

bool ShardBoard::is_idle(SteadyTime now, std::chrono::milliseconds lifetime) const {
  return members_.empty() && !storing() && empty_since_ + lifetime <= now;
}

SteadyTime ShardBoard::next_deadline(std::chrono::milliseconds lifetime) const {
  if (members_.empty()) return empty_since_ + lifetime;
  SteadyTime next = SteadyTime::max();
  for (const auto& [name, member] : members_) next = std::min(next, member.deadline);
  return next;
}

SourceStatistics ShardBoard::statistics(std::string_view source) const {
  SourceStatistics statistics;
  statistics.source = source;
  statistics.members = members_.size();
  statistics.shards_held = kShards - held({});
  statistics.finished = finished();
  return statistics;
}

void ShardBoard::put_member(SteadyTime now, std::string name, std::chrono::milliseconds ttl) {
  members_[std::move(name)] = {ttl, now + ttl};
}

void ShardBoard::release(std::string_view member) {
  for (Shard& shard : shards_) {
    if (shard.owner == member) shard.owner.clear();
  }
}

std::size_t ShardBoard::held(std::string_view member) const {
  return static_cast<std::size_t>(std::ranges::count(shards_, member, &Shard::owner));
}

std::size_t ShardBoard::share(std::string_view member) const {
  const std::size_t members = members_.size();
  const auto place =
      static_cast<std::size_t>(std::distance(members_.begin(), members_.find(member)));
  return kShards / members + (place < kShards % members ? 1 : 0);
}

ShardAssignment ShardBoard::assignment(std::string_view member) const {
  ShardAssignment assignment;
  assignment.members = static_cast<std::uint32_t>(members_.size());
  assignment.finished = finished();
  if (!members_.contains(member)) return assignment;
  for (std::uint32_t number = 0; number < kShards; ++number) {
    const Shard& shard = shards_[number];
    if (shard.owner != member) continue;
    assignment.held.push_back({number, shard.fence, shard.position, shard.finished});
  }
  std::size_t wanted = 0;
  for (const auto& [name, about] : members_) {
    const std::size_t has = held(name);
    const std::size_t fair = share(name);
    if (has < fair) wanted += fair - has;
  }
  const std::size_t fair = share(member);
  if (assignment.held.size() > fair) {
    assignment.surplus =
        static_cast<std::uint32_t>(std::min(wanted, assignment.held.size() - fair));
  }
  return assignment;
}

}  // namespace gpu_telemetry::queue
