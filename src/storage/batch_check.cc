#include "storage/batch_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

namespace gpu_telemetry::storage {

namespace {

Result<void> check_metrics(const std::vector<std::string>& metrics) {
  for (const std::string& name : metrics) {
    if (!is_valid_metric_name(name)) {
      return invalid(fmt::format("batch: \"{}\" is not a metric name", name.substr(0, 64)));
    }
  }
  std::vector<std::string_view> sorted(metrics.begin(), metrics.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice == sorted.end()) return {};
  return invalid(fmt::format("batch: metric {} is listed twice", *twice));
}

}  // namespace

Result<void> check_batch(const TelemetryBatch& batch, Timestamp latest) {
  const auto metrics = check_metrics(batch.metrics);
  if (!metrics) return metrics;
  for (const GpuPointer& gpu : batch.gpus) {
    if (!gpu) return invalid("batch: a GPU is missing (null)");
  }
  std::size_t next = 0;
  for (const Scrape& scrape : batch.scrapes) {
    if (scrape.gpu >= batch.gpus.size() || scrape.first_sample != next ||
        scrape.sample_count > batch.samples.size() - next) {
      return invalid(fmt::format(
          "batch: a scrape names GPU {} of {}, samples from {} on, {} of them; {} of {} are left",
          scrape.gpu, batch.gpus.size(), scrape.first_sample, scrape.sample_count,
          batch.samples.size() - next, batch.samples.size()));
    }
    if (scrape.timestamp < kEarliestTimestamp) {
      return invalid(fmt::format("batch: a scrape is at {} ms, before the earliest time {} ms",
                                 unix_milliseconds(scrape.timestamp),
                                 unix_milliseconds(kEarliestTimestamp)));
    }
    if (scrape.timestamp > latest) {
      return invalid(fmt::format("batch: a scrape is at {} ms, past what a store can hold, {} ms",
                                 unix_milliseconds(scrape.timestamp), unix_milliseconds(latest)));
    }
    next += scrape.sample_count;
  }
  if (next != batch.samples.size()) {
    return invalid(
        fmt::format("batch: {} samples belong to no scrape", batch.samples.size() - next));
  }
  // Without branches on each sample; which one it was is looked for only when there is one.
  const auto metric_count = static_cast<std::uint32_t>(batch.metrics.size());
  bool good = true;
  for (const Sample& sample : batch.samples) {
    good &= sample.metric < metric_count;
    good &= std::abs(sample.value) <= std::numeric_limits<double>::max();
  }
  if (good) return {};
  for (const Sample& sample : batch.samples) {
    if (sample.metric >= metric_count) {
      return invalid(
          fmt::format("batch: a sample names metric {} of {}", sample.metric, metric_count));
    }
    if (!std::isfinite(sample.value)) {
      return invalid(
          fmt::format("batch: a value of {} is not finite", batch.metrics[sample.metric]));
    }
  }
  return internal("batch: a sample was found bad and good");
}

}  // namespace gpu_telemetry::storage
