// The GPUs that decoding met lately, so that a steady fleet's batches share their Gpu objects and
// decoding allocates none.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "domain/gpu.h"

namespace gpu_telemetry::wire {

// A GPU entry of a message before it is a Gpu: views into the message's texts. A label's value is
// two pieces, because a value that starts with the host name is stored without it.
struct GpuEntry {
  struct Label {
    std::string_view name;
    std::string_view value_start;
    std::string_view value_end;
  };
  GpuUuid uuid;
  std::string_view device_id;
  std::string_view gpu_index;
  std::string_view model_name;
  std::string_view hostname;
  std::string_view container;
  std::string_view pod;
  std::string_view pod_namespace;
  std::span<const Label> labels;

  std::size_t text_size() const;
};

// Thread-safe. Bounded: kMaxEntries entries of at most kMaxEntryText bytes of text each; a fuller
// bucket forgets its oldest entry, a larger entry is never kept.
class GpuCache {
 public:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kBuckets = 512;  // a shard
  static constexpr std::size_t kWays = 4;
  static constexpr std::size_t kMaxEntries = kShards * kBuckets * kWays;
  static constexpr std::size_t kMaxEntryText = 2048;

  // The Gpu that equals the entry: one given out before, or a new one.
  GpuPointer intern(const GpuEntry& entry);

 private:
  struct Bucket {
    std::array<GpuPointer, kWays> entries;
    std::array<std::uint64_t, kWays> hashes{};
    std::uint8_t oldest = 0;
  };
  struct Shard {
    std::mutex mutex;
    std::vector<Bucket> buckets;  // empty until the first entry
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace gpu_telemetry::wire
