#include "services/collector/gpu_tracker.h"

#include <algorithm>
#include <unordered_set>

namespace gpu_telemetry::services {
namespace {

bool same_attributes(const GpuPointer& a, const GpuPointer& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

}  // namespace

void GpuTracker::note(const GpuPointer& gpu, Timestamp time) {
  Entry& entry = entries_[gpu->uuid];
  // A message that is delivered again says nothing new.
  for (const storage::GpuObservation& each : entry.pending) {
    if (each.from <= time && time <= each.to && same_attributes(each.gpu, gpu)) return;
  }
  if (!entry.pending.empty()) {
    storage::GpuObservation& last = entry.pending.back();
    // A span grows only forwards: a late scrape may lie on the far side of somebody else's.
    if (time >= last.from && same_attributes(last.gpu, gpu)) {
      last.to = std::max(last.to, time);
      return;
    }
  }
  entry.pending.push_back({gpu, time, time});
}

bool GpuTracker::due(const Entry& entry, SteadyTime now) const {
  if (entry.pending.empty()) return false;
  return entry.written == nullptr || entry.pending.size() > 1 ||
         !same_attributes(entry.pending.front().gpu, entry.written) ||
         now - entry.written_at >= refresh_;
}

std::vector<storage::GpuObservation> GpuTracker::observe(std::span<const TelemetryBatch> batches) {
  std::vector<storage::GpuObservation> observations;
  std::unordered_set<GpuUuid> looked_at;
  const SteadyTime now = clock_.steady_now();
  const std::lock_guard lock(mutex_);
  for (const TelemetryBatch& batch : batches) {
    for (const Scrape& scrape : batch.scrapes) note(batch.gpus[scrape.gpu], scrape.timestamp);
  }
  for (const TelemetryBatch& batch : batches) {
    for (const GpuPointer& gpu : batch.gpus) {
      const auto entry = entries_.find(gpu->uuid);
      if (entry == entries_.end() || !due(entry->second, now)) continue;
      if (!looked_at.insert(gpu->uuid).second) continue;
      observations.insert(observations.end(), entry->second.pending.begin(),
                          entry->second.pending.end());
    }
  }
  return observations;
}

std::vector<storage::GpuObservation> GpuTracker::pending() {
  std::vector<storage::GpuObservation> observations;
  const std::lock_guard lock(mutex_);
  for (const auto& [uuid, entry] : entries_) {
    observations.insert(observations.end(), entry.pending.begin(), entry.pending.end());
  }
  return observations;
}

void GpuTracker::recorded(std::span<const storage::GpuObservation> observations) {
  const SteadyTime now = clock_.steady_now();
  const std::lock_guard lock(mutex_);
  for (const storage::GpuObservation& done : observations) {
    Entry& entry = entries_[done.gpu->uuid];
    const auto is_done = [&](const storage::GpuObservation& each) {
      return each.gpu == done.gpu && each.from == done.from;
    };
    const auto found = std::find_if(entry.pending.begin(), entry.pending.end(), is_done);
    if (found != entry.pending.end()) {
      // A span that has grown meanwhile stays pending from where storage has it.
      if (found->to <= done.to) {
        entry.pending.erase(found);
      } else {
        found->from = done.to;
      }
    }
    entry.written = done.gpu;
    entry.written_at = now;
  }
}

}  // namespace gpu_telemetry::services
