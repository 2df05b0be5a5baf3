#include "services/streamer/shard_holdings.h"

#include <algorithm>

namespace gpu_telemetry::services {

ShardHoldings::Change ShardHoldings::take(const queue::ShardAssignment& assignment,
                                          bool with_positions) {
  Change change;
  std::array<std::optional<Holding>, queue::kShards> now;
  for (const queue::ShardLease& lease : assignment.held) {
    if (lease.shard >= queue::kShards) continue;
    const std::optional<Holding>& before = held_[lease.shard];
    const bool same = before && before->fence == lease.fence;
    if (!same) ++change.gained;
    now[lease.shard] =
        same && !with_positions ? *before : Holding{lease.fence, lease.position, lease.finished};
  }
  for (std::uint32_t shard = 0; shard < queue::kShards; ++shard) {
    const bool kept = held_[shard] && now[shard] && held_[shard]->fence == now[shard]->fence;
    if (held_[shard] && !kept) ++change.ended;
  }
  held_ = now;
  return change;
}

std::size_t ShardHoldings::size() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(held_, [](const auto& each) { return each.has_value(); }));
}

bool ShardHoldings::has_work() const {
  return std::ranges::any_of(held_, [](const auto& each) { return each && !each->finished; });
}

sources::ShardSelection ShardHoldings::selection() const {
  sources::ShardSelection selection;
  for (std::uint32_t shard = 0; shard < queue::kShards; ++shard) {
    if (held_[shard] && !held_[shard]->finished) selection.from[shard] = held_[shard]->position;
  }
  return selection;
}

std::vector<queue::ShardStep> ShardHoldings::steps(const sources::WindowEnd& window) const {
  std::vector<queue::ShardStep> steps;
  for (std::uint32_t shard = 0; shard < queue::kShards; ++shard) {
    const std::optional<Holding>& holding = held_[shard];
    if (!holding || holding->finished || !sources::contains(window.shards, shard)) continue;
    queue::ShardStep step;
    step.shard = shard;
    step.fence = holding->fence;
    step.from = holding->position;
    // Always onwards: a step that stays could not be told from its own repetition.
    step.to = std::max(window.position, holding->position + 1);
    step.finished = window.finished;
    steps.push_back(step);
  }
  return steps;
}

void ShardHoldings::advance(std::span<const queue::ShardStep> steps) {
  for (const queue::ShardStep& step : steps) {
    std::optional<Holding>& holding = held_[step.shard];
    if (!holding || holding->fence != step.fence) continue;
    holding->position = step.to;
    holding->finished = step.finished;
  }
}

std::vector<std::uint32_t> ShardHoldings::choose(std::size_t count) const {
  std::vector<std::uint32_t> order;
  for (const bool finished : {false, true}) {
    for (std::uint32_t shard = 0; shard < queue::kShards; ++shard) {
      if (held_[shard] && held_[shard]->finished == finished) order.push_back(shard);
    }
  }
  count = std::min(count, order.size());
  std::vector<std::uint32_t> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(order[i * order.size() / count]);
  return chosen;
}

}  // namespace gpu_telemetry::services
