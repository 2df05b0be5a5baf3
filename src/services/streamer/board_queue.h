// Shard leases in a hundred lines: what queue/shards.h promises, said once more as simply as it can
// be, for tests of streamers. Messages go to the queue behind.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::services::testing {

// All calls from one executor of one thread. `behind` and `clock` outlive it.
class BoardQueue final : public queue::MessageQueue {
 public:
  BoardQueue(queue::MessageQueue& behind, const Clock& clock) : behind_(behind), clock_(clock) {}

  queue::Async<Result<std::vector<queue::PublishResult>>> publish(
      std::string topic, std::vector<queue::OutgoingMessage> messages,
      std::optional<queue::ShardProgress> progress) override {
    if (!progress) co_return co_await behind_.publish(std::move(topic), std::move(messages));
    Board& board = boards_[topic + "/" + progress->source];
    expire(board);
    std::vector<queue::PublishResult> results(messages.size());
    if (!is_next(board, *progress)) {
      if (!is_repetition(board, *progress)) co_return conflict("a shard is not held, or moved");
      for (queue::PublishResult& each : results) each.duplicate = true;
      co_return results;
    }
    if (!messages.empty()) {
      auto published = co_await behind_.publish(std::move(topic), std::move(messages));
      if (!published) co_return published.error();
      results = std::move(*published);
    }
    for (const queue::ShardStep& step : progress->steps) {
      board.shards[step.shard].position = step.to;
      board.shards[step.shard].finished = step.finished;
    }
    Member& member = board.members[progress->member];
    member.deadline = clock_.steady_now() + member.ttl;
    co_return results;
  }

  queue::Async<Result<queue::ShardAssignment>> shards(queue::ShardRequest request) override {
    const std::string name = request.topic + "/" + request.source;
    Board& board = boards_[name];
    expire(board);
    if (request.leave) {
      end_membership(board, request.member);
      board.members.erase(request.member);
      queue::ShardAssignment left = assignment(board, request.member);
      if (board.members.empty() && left.finished) boards_.erase(name);
      co_return left;
    }
    board.members[request.member] = {clock_.steady_now() + request.ttl, request.ttl};
    for (const std::uint32_t shard : request.give_back) {
      if (board.shards[shard].owner == request.member) board.shards[shard].owner.clear();
    }
    for (const bool finished : {false, true}) {
      for (Shard& shard : board.shards) {
        if (!shard.owner.empty() || shard.finished != finished) continue;
        if (held(board, request.member) >= share(board, request.member)) break;
        shard.owner = request.member;
        ++shard.fence;
      }
    }
    queue::ShardAssignment granted = assignment(board, request.member);
    co_return granted;
  }

  queue::Async<Result<std::vector<queue::Delivery>>> fetch(queue::FetchRequest request) override {
    return behind_.fetch(std::move(request));
  }
  queue::Async<Result<std::vector<queue::Settled>>> ack(queue::SettleRequest request) override {
    return behind_.ack(std::move(request));
  }
  queue::Async<Result<std::vector<queue::Settled>>> nack(queue::SettleRequest request,
                                                         queue::NackOptions options) override {
    return behind_.nack(std::move(request), std::move(options));
  }
  queue::Async<Result<std::vector<queue::Settled>>> extend(
      queue::SettleRequest request, std::chrono::milliseconds visibility) override {
    return behind_.extend(std::move(request), visibility);
  }
  queue::Async<Result<std::vector<queue::TopicStatistics>>> statistics() override {
    return behind_.statistics();
  }
  queue::Async<Result<std::vector<queue::DeadLetter>>> dead_letters(std::string topic,
                                                                    std::string group,
                                                                    std::size_t max) override {
    return behind_.dead_letters(std::move(topic), std::move(group), max);
  }
  queue::Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                              std::vector<std::string> ids) override {
    return behind_.redrive(std::move(topic), std::move(group), std::move(ids));
  }
  queue::Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                            std::vector<std::string> ids) override {
    return behind_.purge(std::move(topic), std::move(group), std::move(ids));
  }
  queue::Async<Result<void>> delete_group(std::string topic, std::string group) override {
    return behind_.delete_group(std::move(topic), std::move(group));
  }
  void shut_down() override { behind_.shut_down(); }

 private:
  struct Shard {
    std::string owner;  // empty: free
    std::uint64_t fence = 0;
    std::uint64_t position = 0;
    bool finished = false;
  };
  struct Member {
    SteadyTime deadline;
    std::chrono::milliseconds ttl{0};
  };
  struct Board {
    std::array<Shard, queue::kShards> shards;
    std::map<std::string, Member> members;
  };

  static void end_membership(Board& board, const std::string& member) {
    for (Shard& shard : board.shards) {
      if (shard.owner == member) shard.owner.clear();
    }
  }
  void expire(Board& board) const {
    std::erase_if(board.members, [&](const auto& entry) {
      if (entry.second.deadline > clock_.steady_now()) return false;
      end_membership(board, entry.first);
      return true;
    });
  }
  static std::size_t held(const Board& board, const std::string& member) {
    return static_cast<std::size_t>(std::ranges::count(board.shards, member, &Shard::owner));
  }
  static std::size_t share(const Board& board, const std::string& member) {
    const std::size_t members = board.members.size();
    const auto place =
        static_cast<std::size_t>(std::distance(board.members.begin(), board.members.find(member)));
    return queue::kShards / members + (place < queue::kShards % members ? 1 : 0);
  }
  static queue::ShardAssignment assignment(const Board& board, const std::string& member) {
    queue::ShardAssignment assignment;
    assignment.members = static_cast<std::uint32_t>(board.members.size());
    assignment.finished = std::ranges::all_of(board.shards, &Shard::finished);
    if (!board.members.contains(member)) return assignment;
    for (std::uint32_t i = 0; i < queue::kShards; ++i) {
      const Shard& shard = board.shards[i];
      if (shard.owner == member) {
        assignment.held.push_back({i, shard.fence, shard.position, shard.finished});
      }
    }
    std::size_t wanted = 0;
    for (const auto& [name, about] : board.members) {
      if (held(board, name) < share(board, name)) wanted += share(board, name) - held(board, name);
    }
    const std::size_t fair = share(board, member);
    if (assignment.held.size() > fair) {
      assignment.surplus =
          static_cast<std::uint32_t>(std::min(wanted, assignment.held.size() - fair));
    }
    return assignment;
  }

  static bool is_held(const Board& board, const queue::ShardProgress& progress) {
    return std::ranges::all_of(progress.steps, [&](const queue::ShardStep& step) {
      const Shard& shard = board.shards[step.shard];
      return shard.owner == progress.member && shard.fence == step.fence;
    });
  }
  static bool is_next(const Board& board, const queue::ShardProgress& progress) {
    return is_held(board, progress) &&
           std::ranges::all_of(progress.steps, [&](const queue::ShardStep& step) {
             return board.shards[step.shard].position == step.from;
           });
  }
  static bool is_repetition(const Board& board, const queue::ShardProgress& progress) {
    return is_held(board, progress) &&
           std::ranges::all_of(progress.steps, [&](const queue::ShardStep& step) {
             return board.shards[step.shard].position == step.to;
           });
  }

  queue::MessageQueue& behind_;
  const Clock& clock_;
  std::map<std::string, Board> boards_;
};

}  // namespace gpu_telemetry::services::testing
