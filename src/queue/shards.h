// How several readers share one source (a file, a simulated fleet) through the queue, so that no
// row is missing and none is doubled.
//
// Words. What is read is spread over 64 *shards*. A *source* names what is shared; each topic has a
// *board* for each source: who holds which shard, and how far each has been published. A *member*
// is one process that reads; it joins, renews its membership, and leaves. It holds its shards by
// *leases* until it gives them back or has not been heard of for its `ttl`. A lease has a *fence*,
// which is greater at each grant of the shard. The *position* of a shard moves only with a publish
// of what lies before it (MessageQueue::publish with a ShardProgress), both or neither: so whoever
// reads the shard next goes on exactly where it was published to, and a member that was frozen past
// its lease can publish nothing that another has published too.
//
// Shares. Of n members, in the order of their names, each has 64 / n shards, and the first
// 64 % n of them one more. No shard is taken from a live member: it is told its surplus and gives
// back.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace gpu_telemetry::queue {

inline constexpr std::uint32_t kShards = 64;
inline constexpr std::size_t kMaxSourceSize = 200;  // bytes, at least 1
inline constexpr std::size_t kMaxMemberSize = 200;  // the same
inline constexpr std::chrono::seconds kMinMembership{1};
inline constexpr std::chrono::hours kMaxMembership{1};
// Past these a request to join says kFull.
inline constexpr std::size_t kMaxBoardsPerTopic = 100;
inline constexpr std::size_t kMaxMembersPerBoard = 1'000;

struct ShardLease {
  std::uint32_t shard = 0;
  std::uint64_t fence = 0;
  // Where to go on: how far the shard has been published, in a measure of the readers' own that
  // only grows; 0 at first.
  std::uint64_t position = 0;
  bool finished = false;  // there is nothing behind the position
};

// Join, renew, give back and leave are one call, to be made every third of `ttl`.
struct ShardRequest {
  std::string topic;
  std::string source;
  std::string member;  // each process that reads has a name of its own
  // Membership and leases end so long after the last call, or the last publish with progress.
  std::chrono::milliseconds ttl = std::chrono::seconds{15};
  // Shards that the member holds and gives up; those of others are ignored. At most 64.
  std::vector<std::uint32_t> give_back;
  bool leave = false;  // gives everything back and ends the membership
};

struct ShardAssignment {
  std::vector<ShardLease> held;  // what the member holds now, by shard number
  // Others wait for so many of them: stop reading them at the next boundary, publish what was read,
  // and give them back.
  std::uint32_t surplus = 0;
  std::uint32_t members = 0;  // that are alive, this one included unless it left
  bool finished = false;      // every shard of the source is
};

struct ShardStep {
  std::uint32_t shard = 0;
  std::uint64_t fence = 0;
  std::uint64_t from = 0;  // the position now
  std::uint64_t to = 0;    // and after; not less
  bool finished = false;
};

// What a publish moves. The member publishes one such call after the other.
struct ShardProgress {
  std::string source;
  std::string member;
  std::vector<ShardStep> steps;  // 1 to 64, of distinct shards
};

struct SourceStatistics {
  std::string source;
  std::uint64_t members = 0;
  std::uint64_t shards_held = 0;
  bool finished = false;
};

}  // namespace gpu_telemetry::queue
