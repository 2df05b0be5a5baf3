// GPUs and attribution intervals in the catalogue's tables.
#pragma once

#include <functional>
#include <vector>

#include "domain/attribution_timeline.h"
#include "domain/gpu.h"
#include "domain/result.h"
#include "storage/embedded/database.h"

namespace gpu_telemetry::storage::embedded {

// Errors of all of these: as Database. Writing happens inside the caller's transaction.

// Calls `visit` with every GPU. A row that cannot be read is kCorrupt.
Result<void> visit_gpus(Database& database, const std::function<void(GpuRecord&&)>& visit);
// Calls `visit` with the newest interval of every GPU that has one.
Result<void> visit_newest_intervals(
    Database& database, const std::function<void(const GpuUuid&, AttributionInterval&&)>& visit);
// Intervals of one GPU that overlap [start, end], in time order.
Result<std::vector<AttributionInterval>> read_intervals(Database& database, const GpuUuid& uuid,
                                                        Timestamp start, Timestamp end);
// The same of intervals that each last until the next begins, the newest for ever.
Result<std::vector<AttributionInterval>> read_intervals_in_force(Database& database,
                                                                 const GpuUuid& uuid,
                                                                 Timestamp start, Timestamp end);

// Removes intervals that ended before `before`, but the newest of each GPU.
Result<void> remove_intervals_before(Database& database, Timestamp before);

// Statements that are prepared once for many rows.
class GpuRowWriter {
 public:
  static Result<GpuRowWriter> prepare(Database& database);
  Result<void> write_gpu(const GpuRecord& record);
  // Adds the interval, or replaces the one with its start.
  Result<void> write_interval(const GpuUuid& uuid, const AttributionInterval& interval);
  Result<void> remove_intervals(const GpuUuid& uuid);

 private:
  GpuRowWriter(Statement gpu, Statement interval, Statement removal)
      : gpu_(std::move(gpu)), interval_(std::move(interval)), removal_(std::move(removal)) {}
  Statement gpu_;
  Statement interval_;
  Statement removal_;
};

}  // namespace gpu_telemetry::storage::embedded
