#include "sources/csv/scrape_window.h"

#include <algorithm>

namespace gpu_telemetry::sources::csv {

ScrapeWindow::ScrapeWindow(std::size_t capacity) { reset(capacity); }

void ScrapeWindow::reset(std::size_t capacity) {
  capacity_ = capacity;
  rows_.clear();
  rows_.reserve(capacity_);
  sealed_.resize(capacity_);
  scrapes_.clear();
  sealed_scrapes_ = next_scrape_ = 0;
  ++window_;
}

std::uint32_t ScrapeWindow::find_older_or_add(std::uint32_t entity, const GpuPointer& gpu,
                                              Timestamp timestamp) {
  if (entity >= entities_.size()) entities_.resize(entity + 1);
  EntityMarks& marks = entities_[entity];
  std::uint32_t older = marks.window == window_ ? marks.newest_scrape : kNone;
  for (std::uint32_t at = older; at != kNone; at = scrapes_[at].older) {
    if (scrapes_[at].timestamp != timestamp) continue;
    if (scrapes_[at].gpu == gpu) return at;
    break;  // other attributes came in between; scrapes keep the order of what they say
  }
  const auto added = static_cast<std::uint32_t>(scrapes_.size());
  scrapes_.push_back({.gpu = gpu, .timestamp = timestamp, .entity = entity, .older = older});
  marks.window = window_;
  marks.newest_scrape = added;
  return added;
}

void ScrapeWindow::seal(std::size_t metric_count) {
  if (metrics_.size() < metric_count) metrics_.resize(metric_count);
  std::uint32_t first = 0;
  for (WindowScrape& scrape : scrapes_) {
    scrape.first = first;
    first += scrape.count;
    scrape.count = 0;
  }
  for (const Row& row : rows_) {
    WindowScrape& scrape = scrapes_[row.scrape];
    sealed_[scrape.first + scrape.count++] = {row.metric, row.value};
  }
  for (WindowScrape& scrape : scrapes_) drop_overwritten(scrape);
  rows_.clear();
  sealed_scrapes_ = scrapes_.size();
  next_scrape_ = 0;
  ++window_;
}

void ScrapeWindow::drop_overwritten(WindowScrape& scrape) {
  ++scrape_mark_;
  std::uint32_t kept = 0;
  Sample* const samples = sealed_.data() + scrape.first;
  for (std::uint32_t i = 0; i < scrape.count; ++i) {
    MetricMarks& marks = metrics_[samples[i].metric];
    if (marks.scrape == scrape_mark_) {
      samples[marks.position].value = samples[i].value;
      continue;
    }
    marks.scrape = scrape_mark_;
    marks.position = kept;
    samples[kept++] = samples[i];
  }
  scrape.count = kept;
}

void ScrapeWindow::begin_batch(TelemetryBatch& batch) {
  // The names are overwritten one by one, so that their memory serves the next batch.
  batch.gpus.clear();
  batch.scrapes.clear();
  batch.samples.clear();
  batch_metrics_ = 0;
  ++batch_;
}

bool ScrapeWindow::append_to(TelemetryBatch& batch, std::size_t max_rows,
                             const MetricTable& metrics) {
  if (is_drained()) return true;
  while (next_scrape_ < sealed_scrapes_) {
    WindowScrape& scrape = scrapes_[next_scrape_];
    const std::size_t room = max_rows - batch.samples.size();
    if (room == 0 || (scrape.count > room && !batch.empty())) return false;
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(scrape.count, room));
    batch.scrapes.push_back({.gpu = gpu_in_batch(batch, scrape),
                             .first_sample = static_cast<std::uint32_t>(batch.samples.size()),
                             .sample_count = count,
                             .timestamp = scrape.timestamp});
    for (std::uint32_t i = 0; i < count; ++i) {
      const Sample& sample = sealed_[scrape.first + i];
      batch.samples.push_back({metric_in_batch(batch, sample.metric, metrics), sample.value});
    }
    scrape.first += count;
    scrape.count -= count;
    if (scrape.count > 0) return false;
    ++next_scrape_;
  }
  scrapes_.clear();
  sealed_scrapes_ = next_scrape_ = 0;
  return true;
}

std::uint32_t ScrapeWindow::gpu_in_batch(TelemetryBatch& batch, const WindowScrape& scrape) {
  EntityMarks& marks = entities_[scrape.entity];
  if (marks.batch != batch_ || batch.gpus[marks.gpu_in_batch] != scrape.gpu) {
    marks.batch = batch_;
    marks.gpu_in_batch = static_cast<std::uint32_t>(batch.gpus.size());
    batch.gpus.push_back(scrape.gpu);
  }
  return marks.gpu_in_batch;
}

std::uint32_t ScrapeWindow::metric_in_batch(TelemetryBatch& batch, std::uint32_t metric,
                                            const MetricTable& metrics) {
  MetricMarks& marks = metrics_[metric];
  if (marks.batch != batch_) {
    marks.batch = batch_;
    marks.metric_in_batch = static_cast<std::uint32_t>(batch_metrics_);
    const std::string& name = metrics.metric(metric).name;
    if (batch_metrics_ < batch.metrics.size()) {
      batch.metrics[batch_metrics_] = name;
    } else {
      batch.metrics.push_back(name);
    }
    ++batch_metrics_;
  }
  return marks.metric_in_batch;
}

void ScrapeWindow::forget_numbers() {
  entities_.clear();
  metrics_.clear();
}

}  // namespace gpu_telemetry::sources::csv
