// Batches for tests and benchmarks, shaped as a DGX fleet's exporters shape them: eight GPUs a
// host, ten metrics in four scrapes a second apart, mostly idle GPUs between busy ones.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "domain/telemetry_batch.h"

namespace gpu_telemetry::wire {

inline GpuUuid random_uuid(std::mt19937_64& random, GpuUuid::Kind kind = GpuUuid::Kind::kGpu) {
  std::array<std::uint8_t, 16> bytes;
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return {kind, bytes};
}

// One pass over `gpus` GPUs, grouped by GPU: 10 samples of each, in `timestamps` (1 to 4) scrapes.
inline TelemetryBatch synthetic_pass(std::size_t gpus, std::size_t timestamps = 4,
                                     std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  const auto below = [&random](std::uint64_t limit) {
    return static_cast<double>(random() % limit);
  };
  TelemetryBatch batch;
  batch.metrics = {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_POWER_USAGE",
                   "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_FB_USED",       "DCGM_FI_DEV_FB_FREE",
                   "DCGM_FI_DEV_DEC_UTIL", "DCGM_FI_DEV_ENC_UTIL",      "DCGM_FI_DEV_SM_CLOCK",
                   "DCGM_FI_DEV_MEM_CLOCK"};
  // Which of the timestamps each metric is read at.
  constexpr std::uint32_t kSecond[10] = {0, 0, 0, 1, 1, 1, 2, 3, 3, 3};
  const Timestamp start = from_unix_milliseconds(1'752'871'354'000);
  for (std::size_t i = 0; i < gpus; ++i) {
    auto gpu = std::make_shared<Gpu>();
    const std::string host = "site4-dgx1-node-" + std::to_string(100 + i / 8);
    gpu->uuid = random_uuid(random);
    gpu->device_id = "nvidia" + std::to_string(i % 8);
    gpu->gpu_index = std::to_string(i % 8);
    gpu->model_name = "NVIDIA H100 80GB HBM3";
    gpu->hostname = host;
    gpu->labels = {{"DCGM_FI_DRIVER_VERSION", "535.129.03"},
                   {"instance", host + ":9400"},
                   {"job", "dcgm-exporter"}};
    batch.gpus.push_back(gpu);

    const bool busy = random() % 3 == 0;
    const double used = busy ? 60'000 + below(17'413) : 4 + below(3'000);
    const double values[10] = {busy ? 60 + below(41) : 0,
                               busy ? 20 + below(61) : 0,
                               (66'781 + below(busy ? 622'676 : 90'000)) / 1000,
                               26 + below(55),
                               used,
                               81'007 - used,
                               0,
                               0,
                               busy || random() % 4 == 0 ? 1'980.0 : 345.0,
                               2'619};
    std::uint32_t second = UINT32_MAX;
    for (std::uint32_t metric = 0; metric < 10; ++metric) {
      const std::uint32_t of_metric =
          std::min(kSecond[metric], static_cast<std::uint32_t>(timestamps - 1));
      if (of_metric != second) {
        second = of_metric;
        batch.scrapes.push_back({static_cast<std::uint32_t>(i),
                                 static_cast<std::uint32_t>(batch.samples.size()), 0,
                                 start + std::chrono::seconds{second}});
      }
      batch.samples.push_back({metric, values[metric]});
      ++batch.scrapes.back().sample_count;
    }
  }
  return batch;
}

}  // namespace gpu_telemetry::wire
