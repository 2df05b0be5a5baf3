// Batches into documents of `telemetry_points`.
#pragma once

#include <chrono>
#include <span>
#include <string_view>
#include <vector>

#include "storage/mongodb/metric_registry.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::mongodb {

// The samples of one write, by (GPU, time) and merged: of scrapes with the same key the later wins,
// metric by metric. Views into the batches, which outlive it. Batches keep their promises
// (storage/batch_check.h).
class PointBatch {
 public:
  explicit PointBatch(std::span<const BatchToWrite> batches);

  std::size_t points() const { return points_.size(); }
  std::size_t samples() const { return readings_.size(); }

  // Metric names of all batches, without repeats.
  std::span<const std::string_view> names() const { return names_; }
  std::vector<GpuMetricTimes> metric_times() const;

  // The upsert of the i-th point. `retention` zero: it does not expire. Errors: kInvalid, when it
  // is larger than a document may be.
  Result<void> fill_upsert(std::size_t i, Timestamp now, std::chrono::milliseconds retention,
                           Document& selector, Document& update) const;

 private:
  struct Reading {
    std::uint32_t metric;  // in names_
    double value;
  };
  struct Point {
    GpuUuid gpu;
    Timestamp time;
    std::size_t first_reading;
    std::size_t reading_count;
  };

  std::vector<std::string_view> names_;
  std::vector<std::string> paths_;  // "metrics.NAME"
  std::vector<Point> points_;
  std::vector<Reading> readings_;
};

}  // namespace gpu_telemetry::storage::mongodb
