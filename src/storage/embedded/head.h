// What is in memory and not in a file yet: every sample since the last sealing, by GPU and metric.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/telemetry_batch.h"
#include "domain/time.h"
#include "storage/embedded/head_column.h"

namespace gpu_telemetry::storage::embedded {

// Thread-safe. GPUs are spread over shards, each with a lock and an arena; a lock is held for one
// scrape when writing, and when reading for the copy of one GPU's column headers and of the last
// samples that lie in no order.
class Head {
 public:
  Head() = default;
  Head(const Head&) = delete;
  Head& operator=(const Head&) = delete;

  // Adds the samples of a batch whose invariants hold; `metrics` are the store's numbers of its
  // metric names. `stored_at`: Unix ms.
  void insert(const TelemetryBatch& batch, std::span<const std::uint32_t> metrics,
              std::int64_t stored_at);

  // The GPU's columns as they are now, in ascending order of metric number; only that metric unless
  // kAllMetrics. Valid as long as the head lives.
  static constexpr std::uint32_t kAllMetrics = UINT32_MAX;
  std::vector<HeadColumnView> view(const GpuUuid& gpu, std::int64_t cutoff,
                                   std::uint32_t metric = kAllMetrics) const;

  // How many samples a reader of these metrics (numbers; none: all) in [start, end] has to look at:
  // theirs, and the last ones of any metric of the GPU that lie in no order, which a view puts in
  // order.
  std::uint64_t samples_to_read(const GpuUuid& gpu, std::span<const std::uint32_t> metrics,
                                std::int64_t start, std::int64_t end) const;

  // The newest sample of each of the metrics (numbers), where it is newer than what `newest` has or
  // as new. Retention is not looked at.
  struct Newest {
    std::int64_t timestamp = kMinTime;
    double value = 0;
  };
  void newest(const GpuUuid& gpu, std::span<const std::uint32_t> metrics,
              std::span<Newest> newest) const;

  // Replaces `times` with the newest timestamps, at most `most`, ascending, of the metric that the
  // GPU has most of among those that it reported within `lately` of its newest sample; late samples
  // are left out.
  void newest_times(const GpuUuid& gpu, std::size_t most, Milliseconds lately,
                    std::vector<std::int64_t>& times) const;

  // In ascending order.
  std::vector<GpuUuid> gpus() const;

  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // Writes counted, so a repeated sample counts again.
  std::uint64_t samples() const { return samples_.load(std::memory_order_relaxed); }
  bool empty() const { return samples() == 0; }
  // Of any sample's timestamp; kMaxTime when there are none.
  std::int64_t earliest() const { return earliest_.load(std::memory_order_relaxed); }
  // When it was last written, Unix ms; kMinTime when it never was.
  std::int64_t stored_at() const { return stored_at_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kShards = 16;

  struct GpuColumns {
    std::vector<HeadColumn> columns;  // in order of first appearance
    std::vector<std::uint16_t> slot;  // by metric number: index into `columns` + 1, 0 for none
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::unordered_map<GpuUuid, std::unique_ptr<GpuColumns>> gpus;
    Arena arena;
    std::size_t other_bytes = 0;  // of what does not lie in the arena
    std::size_t bytes() const { return arena.used() + other_bytes; }
  };

  static std::size_t shard_of(const GpuUuid& gpu) {
    return (std::hash<GpuUuid>{}(gpu) >> 40) % kShards;
  }
  static HeadColumn& new_column(Shard& shard, GpuColumns& gpu, std::uint32_t metric);
  static void insert_scrape(Shard& shard, GpuColumns& gpu, std::span<const Sample> samples,
                            std::span<const std::uint32_t> metrics, std::int64_t timestamp,
                            std::int64_t stored_at);

  std::array<Shard, kShards> shards_;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> samples_{0};
  std::atomic<std::int64_t> stored_at_{kMinTime};
  std::atomic<std::int64_t> earliest_{kMaxTime};
};

}  // namespace gpu_telemetry::storage::embedded
