// Batches for tests of storage.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "domain/telemetry_batch.h"

namespace gpu_telemetry::storage {

// The n-th of a row of made-up GPUs.
inline GpuUuid numbered_gpu(std::uint32_t n) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<std::uint8_t>(n >> (24 - 8 * i));
  bytes[15] = static_cast<std::uint8_t>(n * 37);
  return GpuUuid(GpuUuid::Kind::kGpu, bytes);
}

// Builds one batch; a batch is valid after each call.
class BatchBuilder {
 public:
  // One scrape; metrics by name.
  BatchBuilder& scrape(const GpuUuid& gpu, Timestamp time,
                       const std::vector<std::pair<std::string, double>>& readings) {
    Scrape scrape;
    scrape.gpu = gpu_index(gpu);
    scrape.timestamp = time;
    scrape.first_sample = static_cast<std::uint32_t>(batch_.samples.size());
    scrape.sample_count = static_cast<std::uint32_t>(readings.size());
    for (const auto& [name, value] : readings) {
      batch_.samples.push_back({metric_index(name), value});
    }
    batch_.scrapes.push_back(scrape);
    return *this;
  }

  const TelemetryBatch& batch() const { return batch_; }

 private:
  std::uint32_t gpu_index(const GpuUuid& uuid) {
    const auto [place, is_new] =
        gpus_.try_emplace(uuid, static_cast<std::uint32_t>(batch_.gpus.size()));
    if (is_new) {
      auto gpu = std::make_shared<Gpu>();
      gpu->uuid = uuid;
      batch_.gpus.push_back(std::move(gpu));
    }
    return place->second;
  }
  std::uint32_t metric_index(const std::string& name) {
    const auto [place, is_new] =
        metrics_.try_emplace(name, static_cast<std::uint32_t>(batch_.metrics.size()));
    if (is_new) batch_.metrics.push_back(name);
    return place->second;
  }

  TelemetryBatch batch_;
  std::map<GpuUuid, std::uint32_t> gpus_;
  std::map<std::string, std::uint32_t> metrics_;
};

}  // namespace gpu_telemetry::storage
