#include "wire/gpu_cache.h"

#include <functional>
#include <string>

namespace gpu_telemetry::wire {
namespace {

bool equal(const Gpu& gpu, const GpuEntry& entry) {
  if (gpu.uuid != entry.uuid || gpu.hostname != entry.hostname ||
      gpu.device_id != entry.device_id || gpu.gpu_index != entry.gpu_index ||
      gpu.model_name != entry.model_name || gpu.attribution.container != entry.container ||
      gpu.attribution.pod != entry.pod || gpu.attribution.pod_namespace != entry.pod_namespace ||
      gpu.labels.size() != entry.labels.size()) {
    return false;
  }
  for (std::size_t i = 0; i < entry.labels.size(); ++i) {
    const auto& [name, value] = gpu.labels[i];
    const GpuEntry::Label& label = entry.labels[i];
    if (name != label.name || value.size() != label.value_start.size() + label.value_end.size() ||
        !value.starts_with(label.value_start) || !value.ends_with(label.value_end)) {
      return false;
    }
  }
  return true;
}

GpuPointer make_gpu(const GpuEntry& entry) {
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = entry.uuid;
  gpu->device_id = entry.device_id;
  gpu->gpu_index = entry.gpu_index;
  gpu->model_name = entry.model_name;
  gpu->hostname = entry.hostname;
  gpu->attribution = {std::string(entry.container), std::string(entry.pod),
                      std::string(entry.pod_namespace)};
  gpu->labels.reserve(entry.labels.size());
  for (const GpuEntry::Label& label : entry.labels) {
    auto& [name, value] = gpu->labels.emplace_back(label.name, label.value_start);
    value += label.value_end;
  }
  return gpu;
}

}  // namespace

std::size_t GpuEntry::text_size() const {
  std::size_t size = device_id.size() + gpu_index.size() + model_name.size() + hostname.size() +
                     container.size() + pod.size() + pod_namespace.size();
  for (const Label& label : labels) {
    size += label.name.size() + label.value_start.size() + label.value_end.size();
  }
  return size;
}

GpuPointer GpuCache::intern(const GpuEntry& entry) {
  if (entry.text_size() > kMaxEntryText) return make_gpu(entry);
  // The same GPU with other attributes is rare, so its UUID decides where it is kept.
  const std::uint64_t hash = std::hash<GpuUuid>()(entry.uuid);
  Shard& shard = shards_[hash % kShards];
  const std::lock_guard lock(shard.mutex);
  if (shard.buckets.empty()) shard.buckets.resize(kBuckets);
  Bucket& bucket = shard.buckets[(hash / kShards) % kBuckets];
  for (std::size_t way = 0; way < kWays; ++way) {
    if (bucket.hashes[way] == hash && bucket.entries[way] && equal(*bucket.entries[way], entry)) {
      return bucket.entries[way];
    }
  }
  GpuPointer gpu = make_gpu(entry);
  bucket.hashes[bucket.oldest] = hash;
  bucket.entries[bucket.oldest] = gpu;
  bucket.oldest = static_cast<std::uint8_t>((bucket.oldest + 1) % kWays);
  return gpu;
}

}  // namespace gpu_telemetry::wire
