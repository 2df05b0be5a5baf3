// Sources that several processes read together, each some shards of it, without a row missing or
// doubled.
//
// What is read is spread over 64 shards by the GPU it is about. Each row has a position, a number
// that grows from row to row and means the same to every process that reads this source. How far a
// shard has been published is one position: rows before it are published, and those from it on are
// not. Who reads which shard, and from where, is decided elsewhere and told to select().
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "domain/gpu_uuid.h"
#include "domain/result.h"

namespace gpu_telemetry::sources {

inline constexpr std::uint32_t kShareableShards = 64;

// The same in every process and release.
inline std::uint32_t shard_of(const GpuUuid& uuid) {
  return static_cast<std::uint32_t>(uuid.stable_hash() % kShareableShards);
}

// Bit i is shard i.
using ShardSet = std::uint64_t;
inline constexpr ShardSet kAllShards = ~ShardSet{0};
inline bool contains(ShardSet set, std::uint32_t shard) { return (set >> shard & 1U) != 0; }

// Which shards are read, and each from which position on; no value: not read.
struct ShardSelection {
  std::array<std::optional<std::uint64_t>, kShareableShards> from;

  // Those that are read.
  ShardSet shards() const { return before_or(0, kAllShards); }
  // Those that are read and begin before `position`.
  ShardSet before(std::uint64_t position) const { return before_or(position, 0); }
  // The first and the last position at which one of them begins; at least one is read.
  std::uint64_t lowest() const {
    std::uint64_t found = UINT64_MAX;
    for (const auto& each : from) found = std::min(found, each.value_or(UINT64_MAX));
    return found;
  }
  std::uint64_t highest() const {
    std::uint64_t found = 0;
    for (const auto& each : from) found = std::max(found, each.value_or(0));
    return found;
  }

 private:
  ShardSet before_or(std::uint64_t position, ShardSet others) const {
    ShardSet set = 0;
    for (std::uint32_t shard = 0; shard < kShareableShards; ++shard) {
      if (!from[shard]) continue;
      set |= ShardSet{*from[shard] < position} << shard;
      set |= others & ShardSet{1} << shard;
    }
    return set;
  }
};

// What a window that has been handed out means.
struct WindowEnd {
  // Every row of these shards before `position`, and none behind, has been handed out since the
  // shards' `from`.
  ShardSet shards = 0;
  std::uint64_t position = 0;
  bool finished = false;  // there will be no row of these shards behind it
};

class ShareableSource {
 public:
  // Names what is read by its content, at most 200 bytes: processes whose names are equal read the
  // same rows at the same positions. Errors: of opening and reading it.
  virtual Result<std::string> shared_name() = 0;

  // From now on only these shards are read (at least one), each from its position. What was read
  // and not handed out is forgotten and will be read again. next() then ends each window with
  // kWindowEnd, and a batch never spans two windows. May read through what lies before the
  // positions, which takes its time where one cannot seek. Errors: kCancelled when `stop` was
  // requested (select again before next()); those of next().
  virtual Result<void> select(const ShardSelection& selection, std::stop_token stop) = 0;

  // Windows have about so many rows from the next one on; 4,096 at first.
  virtual void set_window(std::size_t rows) = 0;

  // After kWindowEnd, until the next call of next() or select().
  virtual const WindowEnd& window_end() const = 0;

  // How long until the clock is past every time that scrapes have been stamped with, so that
  // another process that goes on here stamps later ones. Zero: it is.
  virtual std::chrono::milliseconds until_settled() = 0;

 protected:
  ~ShareableSource() = default;
};

}  // namespace gpu_telemetry::sources
