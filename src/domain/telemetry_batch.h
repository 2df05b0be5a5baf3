// What travels from source to storage: scrapes of many GPUs, their dictionaries beside them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "domain/gpu.h"
#include "domain/time.h"

namespace gpu_telemetry {

// One metric's value in a scrape: finite, never a blank.
struct Sample {
  std::uint32_t metric = 0;  // index into TelemetryBatch::metrics
  double value = 0;
  friend bool operator==(const Sample&, const Sample&) = default;
};

// The readings of one GPU at one timestamp, possibly only some of them: a partial scrape. Scrapes
// of one (GPU UUID, timestamp) merge in storage; of two values of one metric the last written wins.
struct Scrape {
  std::uint32_t gpu = 0;  // index into TelemetryBatch::gpus
  std::uint32_t first_sample = 0;
  std::uint32_t sample_count = 0;
  Timestamp timestamp;
  friend bool operator==(const Scrape&, const Scrape&) = default;
};

// A batch owns its vectors, so that a reused batch allocates nothing. Invariants, which sources
// establish, wire::decode checks and everything else may rely on:
//  - every index is in range; scrapes name consecutive runs of `samples`, in order, without gaps;
//  - metric names are canonical (metric_catalogue.h), valid, and unique within the batch;
//  - values are finite; timestamps are not before kEarliestTimestamp.
// One GPU may occur more than once in `gpus`: with other attributes (a pod that started).
struct TelemetryBatch {
  std::vector<GpuPointer> gpus;
  std::vector<std::string> metrics;
  std::vector<Scrape> scrapes;
  std::vector<Sample> samples;

  // Empties it and keeps the memory.
  void clear();
  bool empty() const { return samples.empty(); }
};

// Names match [a-zA-Z_:][a-zA-Z0-9_:]* and are at most kMaxMetricNameSize long (the Prometheus data
// model's rule; the length is ours).
inline constexpr std::size_t kMaxMetricNameSize = 200;
bool is_valid_metric_name(std::string_view name);

}  // namespace gpu_telemetry
