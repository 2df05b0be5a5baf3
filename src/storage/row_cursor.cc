#include "storage/row_cursor.h"

namespace gpu_telemetry::storage {

std::span<const SampleColumn> ColumnSplitter::split(std::span<const StoredSample> samples,
                                                    std::size_t metrics) {
  of_metrics_.resize(metrics);
  for (const StoredSample& sample : samples) ++of_metrics_[sample.metric].coming;
  for (Column& column : of_metrics_) {
    column.times.clear();
    column.values.clear();
    column.times.reserve(column.coming);
    column.values.reserve(column.coming);
    column.coming = 0;
  }
  for (const StoredSample& sample : samples) {
    Column& column = of_metrics_[sample.metric];
    column.times.push_back(unix_milliseconds(sample.timestamp));
    column.values.push_back(sample.value);
  }
  columns_.clear();
  for (std::uint32_t metric = 0; metric < metrics; ++metric) {
    const Column& column = of_metrics_[metric];
    if (!column.times.empty()) columns_.push_back({metric, column.times, column.values});
  }
  return columns_;
}

Result<std::span<const SampleColumn>> RowCursor::next_columns() {
  const auto samples = next();
  if (!samples) return samples.error();
  return splitter_.split(*samples, metric_names().size());
}

}  // namespace gpu_telemetry::storage
