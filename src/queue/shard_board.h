// Who of a source's readers holds which shard, and how far each shard is published: the rules of
// shards.h for one board. Pure and synchronous; not thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "domain/clock.h"
#include "domain/result.h"
#include "queue/shards.h"

namespace gpu_telemetry::queue {

class ShardBoard {
 public:
  struct Shard {
    std::string owner;  // empty: free
    std::uint64_t fence = 0;
    std::uint64_t position = 0;
    bool finished = false;
    // While a publish that moved it is being stored: where it is when that fails.
    struct Stored {
      std::uint64_t position = 0;
      bool finished = false;
    };
    std::optional<Stored> before;

    Stored stored() const { return before.value_or(Stored{position, finished}); }
  };
  struct Member {
    std::chrono::milliseconds ttl{0};
    SteadyTime deadline;
  };

  explicit ShardBoard(SteadyTime now) : empty_since_(now) {}

  // Frees the shards of members whose time is over; whether there were any. Before all others.
  bool expire(SteadyTime now);
  // Serves the request; `changed` becomes true when a member or an owner is another than before.
  // Errors: kFull (too many members).
  Result<ShardAssignment> serve(SteadyTime now, const ShardRequest& request, bool& changed);

  enum class Verdict { kNext, kRepetition };
  // What a publish with this progress is (MessageQueue::publish). Errors: kConflict; kUnavailable
  // while an earlier publish of a shard is being stored.
  Result<Verdict> judge(const ShardProgress& progress) const;
  // Moves the positions of a progress that is next, and renews the membership. They are stored
  // when settle() says so; undo() takes them back.
  void move(SteadyTime now, const ShardProgress& progress);
  void settle(const ShardProgress& progress);
  void undo(const ShardProgress& progress);
  // Moves the shards of a progress that are where its steps begin, for reading back.
  void replay(const ShardProgress& progress);

  bool finished() const;
  bool storing() const;
  // Nobody will miss it: it had no member for `lifetime`.
  bool is_idle(SteadyTime now, std::chrono::milliseconds lifetime) const;
  // When expire() or is_idle() has something to say at the earliest.
  SteadyTime next_deadline(std::chrono::milliseconds lifetime) const;
  SourceStatistics statistics(std::string_view source) const;

  const std::map<std::string, Member, std::less<>>& members() const { return members_; }
  const std::array<Shard, kShards>& shards() const { return shards_; }
  // Reading back. A member has its whole ttl from `now`.
  void put_member(SteadyTime now, std::string name, std::chrono::milliseconds ttl);
  void clear_members() { members_.clear(); }
  Shard& shard(std::uint32_t number) { return shards_[number]; }

 private:
  void release(std::string_view member);
  std::size_t held(std::string_view member) const;
  std::size_t share(std::string_view member) const;
  bool grant(const std::string& member);
  ShardAssignment assignment(std::string_view member) const;

  std::array<Shard, kShards> shards_;
  std::map<std::string, Member, std::less<>> members_;
  SteadyTime empty_since_;  // while there is no member
};

}  // namespace gpu_telemetry::queue
