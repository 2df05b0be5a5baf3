// Regroups rows into scrapes within a bounded window, and cuts batches of whole scrapes.
#pragma once

#include <cstdint>
#include <vector>

#include "domain/telemetry_batch.h"
#include "sources/csv/csv_metric_table.h"

namespace gpu_telemetry::sources::csv {

// Rows are added until it is full or the caller has waited long enough, then sealed, then appended
// to batches until it is drained. Scrapes come in the order of their first rows. Of two values of
// one metric in a scrape the later row's stays.
class ScrapeWindow {
 public:
  explicit ScrapeWindow(std::size_t capacity);

  // Forgets all rows; from now on it takes so many. Outside of a batch.
  void reset(std::size_t capacity);

  std::size_t capacity() const { return capacity_; }
  std::size_t row_count() const { return rows_.size(); }
  bool is_full() const { return rows_.size() == capacity_; }
  // Nothing sealed is left to hand out.
  bool is_drained() const { return next_scrape_ == sealed_scrapes_; }

  // Adds a row of the GPU with number `entity`. Not when full or sealed and not drained.
  [[gnu::always_inline]] void add(std::uint32_t entity, const GpuPointer& gpu, Timestamp timestamp,
                                  std::uint32_t metric, double value) {
    const std::uint32_t scrape = find_scrape(entity, gpu, timestamp);
    ++scrapes_[scrape].count;
    rows_.push_back({scrape, metric, value});
  }

  // Groups the rows. `metric_count`: all rows' metrics are below.
  void seal(std::size_t metric_count);

  // Empties `batch` and keeps its memory. It is complete only after end_batch().
  void begin_batch(TelemetryBatch& batch);
  // Appends scrapes until the window is drained (true) or `batch` has no room for the next one
  // within `max_rows` (false). A scrape is cut only when it alone has more rows.
  bool append_to(TelemetryBatch& batch, std::size_t max_rows, const MetricTable& metrics);
  void end_batch(TelemetryBatch& batch) { batch.metrics.resize(batch_metrics_); }

  // Entities and metrics are numbered anew. Only while drained and outside of a batch.
  void forget_numbers();

 private:
  struct Row {
    std::uint32_t scrape;
    std::uint32_t metric;
    double value;
  };
  struct WindowScrape {
    GpuPointer gpu;
    Timestamp timestamp;
    std::uint32_t entity = 0;
    std::uint32_t older = 0;  // another scrape of the entity in this window
    std::uint32_t first = 0;  // of its rows in sealed_
    std::uint32_t count = 0;
  };
  // What is known of an entity or a metric in the window or batch with this number.
  struct EntityMarks {
    std::uint32_t window = 0;
    std::uint32_t newest_scrape = 0;
    std::uint32_t batch = 0;
    std::uint32_t gpu_in_batch = 0;
  };
  struct MetricMarks {
    std::uint64_t scrape = 0;
    std::uint32_t position = 0;
    std::uint32_t batch = 0;
    std::uint32_t metric_in_batch = 0;
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;

  [[gnu::always_inline]] std::uint32_t find_scrape(std::uint32_t entity, const GpuPointer& gpu,
                                                   Timestamp timestamp) {
    if (entity < entities_.size() && entities_[entity].window == window_) {
      const std::uint32_t newest = entities_[entity].newest_scrape;
      if (scrapes_[newest].timestamp == timestamp && scrapes_[newest].gpu == gpu) return newest;
    }
    return find_older_or_add(entity, gpu, timestamp);
  }
  std::uint32_t find_older_or_add(std::uint32_t entity, const GpuPointer& gpu, Timestamp timestamp);
  void drop_overwritten(WindowScrape& scrape);
  std::uint32_t gpu_in_batch(TelemetryBatch& batch, const WindowScrape& scrape);
  std::uint32_t metric_in_batch(TelemetryBatch& batch, std::uint32_t metric,
                                const MetricTable& metrics);

  std::size_t capacity_ = 0;
  std::vector<Row> rows_;
  std::vector<WindowScrape> scrapes_;  // the first scrape_count_ count; the others keep nothing
  std::vector<Sample> sealed_;         // by scrape; `metric` is the table's number
  std::size_t sealed_scrapes_ = 0;
  std::size_t next_scrape_ = 0;
  std::vector<EntityMarks> entities_;
  std::vector<MetricMarks> metrics_;
  std::uint32_t window_ = 1;
  std::uint32_t batch_ = 0;
  std::uint64_t scrape_mark_ = 0;
  std::size_t batch_metrics_ = 0;
};

}  // namespace gpu_telemetry::sources::csv
