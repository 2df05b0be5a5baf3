// One metric of GPU after GPU: the way of every question about many of them.
#pragma once

#include <cstdint>
#include <vector>

#include "domain/result.h"
#include "storage/embedded/column_source.h"
#include "storage/embedded/sample_cursor.h"
#include "storage/embedded/version.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// The GPU's columns in both heads, those written later last; one metric or Head::kAllMetrics.
std::vector<HeadColumnView> head_views(const ReadContext& context, const GpuUuid& gpu,
                                       std::uint32_t metric);

// Reports damage of a file, and returns the error.
Error reported(const Error& error, const ColumnSource& source, const DamageReport& report);

// The start of the bucket that `timestamp` lies in.
constexpr std::int64_t bucket_of(std::int64_t timestamp, std::int64_t step) {
  const std::int64_t rest = timestamp % step;
  return timestamp - (rest < 0 ? rest + step : rest);
}

// Used by one thread. Fastest when GPUs are asked for in ascending order, as files have them.
class MetricScan {
 public:
  // Times that are asked for later lie in [start, end]. References outlive it.
  MetricScan(const ReadContext& context, std::uint32_t metric, std::int64_t start, std::int64_t end,
             const DamageReport& report_damage);

  // Appends the GPU's buckets in [start, end]. What `out` has is of the same GPU and of earlier
  // times; its last bucket is extended when it goes on. Errors: kCorrupt.
  Result<void> buckets(const GpuUuid& gpu, std::int64_t start, std::int64_t end, std::int64_t step,
                       std::vector<Bucket>& out);

  // The GPU's samples in [start, end]; good until the next call. Errors: kCorrupt.
  Result<const Samples*> samples(const GpuUuid& gpu, std::int64_t start, std::int64_t end);

 private:
  struct FileColumn {
    const StoredFile* file = nullptr;
    std::uint32_t metric = 0;  // the file's number
  };

  void collect_sources(const GpuUuid& gpu, const std::vector<HeadColumnView>& views,
                       std::int64_t start, std::int64_t end);
  struct Range {
    std::int64_t start = 0;
    std::int64_t end = 0;
    std::int64_t step = 0;
  };
  Result<void> add_overlapping(std::size_t begin, std::size_t end, const Range& range,
                               std::vector<Bucket>& out);

  const ReadContext& context_;
  const std::uint32_t metric_;
  const DamageReport& report_damage_;
  std::vector<FileColumn> files_;      // ascending sequence
  std::vector<ColumnSource> sources_;  // those written later last
  std::vector<std::size_t> order_;
  std::vector<ColumnSource> overlapping_;
  Samples samples_;
  SourceBuffers buffers_;
};

}  // namespace gpu_telemetry::storage::embedded
