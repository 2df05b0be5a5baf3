// What one streamer holds of a shared source: which shards, under which leases, and how far each is
// published. Pure: no thread, no clock, no queue.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "queue/shards.h"
#include "sources/shareable_source.h"

namespace gpu_telemetry::services {

static_assert(queue::kShards == sources::kShareableShards);

class ShardHoldings {
 public:
  struct Change {
    std::uint32_t gained = 0;  // shards, or new leases of them
    std::uint32_t ended = 0;   // leases
    bool any() const { return gained + ended > 0; }
  };

  // Holds from now on what the queue says. Of a lease that was held before the position stays as it
  // is here, because the answer may be older than what was published meanwhile; unless
  // `with_positions`: then no publish was under way, and the queue knows better.
  Change take(const queue::ShardAssignment& assignment, bool with_positions);

  std::size_t size() const;
  // A shard that is not finished is held.
  bool has_work() const;
  // The shards that are not finished.
  sources::ShardSelection selection() const;

  // What a publish of the window moves; none when the window is of no held shard.
  std::vector<queue::ShardStep> steps(const sources::WindowEnd& window) const;
  // These were accepted. Those of leases that have ended are ignored.
  void advance(std::span<const queue::ShardStep> steps);

  // Which ones to give back when others wait for `count`: a fair mixture of finished and
  // unfinished ones.
  std::vector<std::uint32_t> choose(std::size_t count) const;

 private:
  struct Holding {
    std::uint64_t fence = 0;
    std::uint64_t position = 0;
    bool finished = false;
  };
  std::array<std::optional<Holding>, queue::kShards> held_;
};

}  // namespace gpu_telemetry::services
