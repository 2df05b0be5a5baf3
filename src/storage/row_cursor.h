// Cursors that have their samples in the order of the answer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage {

// Takes samples apart by metric.
class ColumnSplitter {
 public:
  // Each metric of `samples` is less than `metrics`. Valid until the next call.
  std::span<const SampleColumn> split(std::span<const StoredSample> samples, std::size_t metrics);

 private:
  struct Column {
    std::vector<std::int64_t> times;
    std::vector<double> values;
    std::size_t coming = 0;
  };

  std::vector<Column> of_metrics_;
  std::vector<SampleColumn> columns_;
};

// Leaves next() to who derives from it.
class RowCursor : public SampleCursor {
 public:
  Result<std::span<const SampleColumn>> next_columns() final;

 private:
  ColumnSplitter splitter_;
};

}  // namespace gpu_telemetry::storage
