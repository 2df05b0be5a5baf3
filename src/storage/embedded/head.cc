#include "storage/embedded/head.h"

#include <algorithm>
#include <utility>

namespace gpu_telemetry::storage::embedded {

HeadColumn& Head::new_column(Shard& shard, GpuColumns& gpu, std::uint32_t metric) {
  if (gpu.slot.size() <= metric) {
    shard.other_bytes += (metric + 1 - gpu.slot.size()) * sizeof(std::uint16_t);
    gpu.slot.resize(metric + 1, 0);
  }
  gpu.columns.emplace_back().metric = metric;
  gpu.slot[metric] = static_cast<std::uint16_t>(gpu.columns.size());
  shard.other_bytes += sizeof(HeadColumn);
  return gpu.columns.back();
}

void Head::insert_scrape(Shard& shard, GpuColumns& gpu, std::span<const Sample> samples,
                         std::span<const std::uint32_t> metrics, std::int64_t timestamp,
                         std::int64_t stored_at) {
  for (const Sample& sample : samples) {
    const std::uint32_t metric = metrics[sample.metric];
    const std::uint16_t slot = metric < gpu.slot.size() ? gpu.slot[metric] : std::uint16_t{0};
    HeadColumn& column = slot != 0 ? gpu.columns[slot - 1u] : new_column(shard, gpu, metric);
    column.insert(shard.arena, timestamp, sample.value, stored_at);
  }
}

void Head::insert(const TelemetryBatch& batch, std::span<const std::uint32_t> metrics,
                  std::int64_t stored_at) {
  struct Place {
    Shard* shard = nullptr;
    GpuColumns* columns = nullptr;
  };
  // Reused by the thread, so that a write allocates nothing for GPUs that are known.
  thread_local std::vector<Place> places;
  places.assign(batch.gpus.size(), {});
  // Before a sample can be seen, so that whoever sees it knows that it was stored at this or
  // before.
  std::int64_t first = kMaxTime;
  for (const Scrape& scrape : batch.scrapes) {
    first = std::min(first, unix_milliseconds(scrape.timestamp));
  }
  std::int64_t earliest = earliest_.load(std::memory_order_relaxed);
  while (first < earliest &&
         !earliest_.compare_exchange_weak(earliest, first, std::memory_order_relaxed)) {
  }
  std::int64_t latest = stored_at_.load(std::memory_order_relaxed);
  while (latest < stored_at &&
         !stored_at_.compare_exchange_weak(latest, stored_at, std::memory_order_relaxed)) {
  }

  std::unique_lock<std::mutex> lock;
  Shard* locked = nullptr;
  std::size_t before = 0;
  const auto leave = [&] {
    if (locked == nullptr) return;
    bytes_.fetch_add(locked->bytes() - before, std::memory_order_relaxed);
    lock.unlock();
  };
  const auto enter = [&](Shard& shard) {
    if (&shard == locked) return;
    leave();
    lock = std::unique_lock(shard.mutex);
    locked = &shard;
    before = shard.bytes();
  };

  for (const Scrape& scrape : batch.scrapes) {
    Place& place = places[scrape.gpu];
    if (place.columns == nullptr) {
      const GpuUuid& uuid = batch.gpus[scrape.gpu]->uuid;
      place.shard = &shards_[shard_of(uuid)];
      enter(*place.shard);
      auto& columns = place.shard->gpus[uuid];
      if (!columns) {
        columns = std::make_unique<GpuColumns>();
        // The node, the object and the two vectors, about.
        place.shard->other_bytes += sizeof(GpuColumns) + sizeof(GpuUuid) + 64;
      }
      place.columns = columns.get();
    } else {
      enter(*place.shard);
    }
    insert_scrape(*place.shard, *place.columns,
                  std::span(batch.samples).subspan(scrape.first_sample, scrape.sample_count),
                  metrics, unix_milliseconds(scrape.timestamp), stored_at);
  }
  leave();

  samples_.fetch_add(batch.samples.size(), std::memory_order_relaxed);
}

std::vector<HeadColumnView> Head::view(const GpuUuid& gpu, std::int64_t cutoff,
                                       std::uint32_t metric) const {
  const Shard& shard = shards_[shard_of(gpu)];
  std::vector<HeadColumnView::Copy> copies;
  {
    std::lock_guard lock(shard.mutex);
    const auto found = shard.gpus.find(gpu);
    if (found == shard.gpus.end()) return {};
    const GpuColumns& columns = *found->second;
    if (metric == kAllMetrics) {
      copies.reserve(columns.columns.size());
      for (const HeadColumn& column : columns.columns) copies.emplace_back(column);
    } else if (metric < columns.slot.size() && columns.slot[metric] != 0) {
      copies.emplace_back(columns.columns[columns.slot[metric] - 1u]);
    }
  }
  std::ranges::sort(copies, {},
                    [](const HeadColumnView::Copy& copy) { return copy.column.metric; });
  const std::int64_t head_stored_at = stored_at();
  std::vector<HeadColumnView> views;
  views.reserve(copies.size());
  for (HeadColumnView::Copy& copy : copies) {
    HeadColumnView view(std::move(copy), cutoff, head_stored_at);
    if (view.samples() > 0) views.push_back(std::move(view));
  }
  return views;
}

std::uint64_t Head::samples_to_read(const GpuUuid& gpu, std::span<const std::uint32_t> metrics,
                                    std::int64_t start, std::int64_t end) const {
  const Shard& shard = shards_[shard_of(gpu)];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.gpus.find(gpu);
  if (found == shard.gpus.end()) return 0;
  const GpuColumns& columns = *found->second;
  std::uint64_t samples = 0;
  for (const HeadColumn& column : columns.columns) {
    if (column.late != nullptr) samples += column.late->rest.unsorted_size;
    if (metrics.empty()) samples += column.count(start, end);
  }
  for (const std::uint32_t metric : metrics) {
    if (metric >= columns.slot.size() || columns.slot[metric] == 0) continue;
    samples += columns.columns[columns.slot[metric] - 1u].count(start, end);
  }
  return samples;
}

void Head::newest(const GpuUuid& gpu, std::span<const std::uint32_t> metrics,
                  std::span<Newest> newest) const {
  const Shard& shard = shards_[shard_of(gpu)];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.gpus.find(gpu);
  if (found == shard.gpus.end()) return;
  const GpuColumns& columns = *found->second;
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    const std::uint32_t metric = metrics[i];
    if (metric >= columns.slot.size() || columns.slot[metric] == 0) continue;
    const HeadColumn& column = columns.columns[columns.slot[metric] - 1u];
    const HeadSample sample = column.newest();
    if (sample.timestamp >= newest[i].timestamp) newest[i] = {sample.timestamp, sample.value};
  }
}

void Head::newest_times(const GpuUuid& gpu, std::size_t most, Milliseconds lately,
                        std::vector<std::int64_t>& times) const {
  times.clear();
  const Shard& shard = shards_[shard_of(gpu)];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.gpus.find(gpu);
  if (found == shard.gpus.end()) return;
  std::int64_t newest = kMinTime;
  for (const HeadColumn& column : found->second->columns) {
    newest = std::max(newest, column.main.last);
  }
  const std::int64_t since = saturating_subtract(newest, lately.count());
  const HeadColumn* chosen = nullptr;
  for (const HeadColumn& column : found->second->columns) {
    if (column.main.last < since) continue;
    if (chosen == nullptr || column.main.size > chosen->main.size) chosen = &column;
  }
  if (chosen != nullptr) chosen->main.newest_times(most, times);
}

std::vector<GpuUuid> Head::gpus() const {
  std::vector<GpuUuid> all;
  for (const Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    for (const auto& [uuid, columns] : shard.gpus) all.push_back(uuid);
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace gpu_telemetry::storage::embedded
