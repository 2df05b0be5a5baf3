// The CSV source itself: csv_source.cc reads rows, passes and batches, shared_csv_source.cc has
// what is different when several processes share the file. Private to the room.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "observability/log.h"
#include "sources/csv/csv_gpu_table.h"
#include "sources/csv/csv_header.h"
#include "sources/csv/csv_metric_table.h"
#include "sources/csv/csv_positions.h"
#include "sources/csv/csv_scanner.h"
#include "sources/csv/csv_source.h"
#include "sources/csv/scrape_window.h"
#include "sources/shareable_source.h"

namespace gpu_telemetry::sources::csv {

// Counters of this thread alone, added to the shared ones now and then.
struct LocalCounts {
  std::uint64_t malformed = 0;
  std::uint64_t other_shard = 0;
  std::array<std::uint64_t, kRejectionCount> rejected{};  // [kNone]: accepted
};

class CsvSource final : public Source, public ShareableSource {
 public:
  CsvSource(const CsvSourceOptions& options, OpenInput open, bool is_stream)
      : options_(options),
        open_(std::move(open)),
        is_stream_(is_stream),
        scanner_(options.instructions),
        gpus_(options.shard),
        times_(options.timestamp_mode, *options.clock),
        window_(std::max<std::size_t>(options.window_rows, 1)),
        window_rows_(std::max<std::size_t>(options.window_rows, 1)) {}

  // Opens the input, and of a file reads the header.
  Result<void> start();

  Result<SourceState> next(TelemetryBatch& batch, std::size_t max_rows,
                           std::stop_token stop) override;
  const SourceCounters& counters() const override { return counters_; }

  ShareableSource* shareable() override {
    return is_stream_ || options_.path == "-" ? nullptr : this;
  }
  Result<std::string> shared_name() override;
  Result<void> select(const ShardSelection& selection, std::stop_token stop) override;
  void set_window(std::size_t rows) override { window_rows_ = std::max<std::size_t>(rows, 1); }
  const WindowEnd& window_end() const override { return window_end_; }
  std::chrono::milliseconds until_settled() override { return times_.until_passed(); }

 private:
  // Why collect() came back.
  enum class Pause { kWindowFull, kTimeUp, kPassEnd, kStopped, kFailed };

  Result<SourceState> next_of_window(TelemetryBatch& batch, std::size_t max_rows,
                                     const std::stop_token& stop);
  void fill(TelemetryBatch& batch, std::size_t max_rows, const std::stop_token& stop);
  Pause collect(bool batch_has_rows, const std::stop_token& stop);
  Pause read_input(bool rows_wait, const std::stop_token& stop, bool& got);
  Result<void> begin_pass();
  Pause end_pass();
  bool pass_was_in_vain() const;
  Result<void> read_until_header();
  Result<bool> read_header(ScanStatus status, const CsvRecord& record);
  Result<void> skip_to(std::uint64_t offset, const std::stop_token& stop);
  void note_window_end();
  bool is_published(const GpuVariant& gpu, std::uint64_t position) const {
    return position < selection_.from[gpu.shard].value_or(0);
  }
  Pause fail(Error error);

  void read_row(const CsvRecord& record);
  [[gnu::noinline]] void reject_columns(const CsvRecord& record);
  [[gnu::noinline]] void reject_row(std::uint64_t line, std::string_view why);
  void publish_counts();

  // Where the text in the scanner's buffer stands, after it moved.
  void note_text_position() { text_position_ = positions().at(pass_, scanner_.base()); }
  const CsvPositions& positions() const { return content_.positions; }

  // Hostile input can name GPUs and metrics without end; nothing may refer to them when they go.
  bool tables_are_full() const { return gpus_.wants_reset() || metrics_.wants_reset(); }
  void forget_tables() {
    gpus_.clear();
    metrics_.clear();
    window_.forget_numbers();
  }

  const CsvSourceOptions options_;
  const OpenInput open_;
  const bool is_stream_;

  std::unique_ptr<ByteInput> input_;
  CsvScanner scanner_;
  CsvHeader header_;
  bool header_known_ = false;
  GpuTable gpus_;
  MetricTable metrics_;
  ScrapeTimes times_;
  ScrapeWindow window_;
  std::size_t window_rows_;  // of the next window of a shared source

  SteadyTime rows_wait_since_{};
  bool rows_wait_ = false;        // whether rows_wait_since_ is set
  std::uint64_t pass_start_ = 0;  // rows accepted before this pass
  bool ended_ = false;
  bool failed_ = false;
  Error failure_;

  // Of a source that is shared. Rows of selected shards are published up to selection_.from; from
  // `catch_up_until_` on no row is any more.
  bool shared_ = false;
  bool content_known_ = false;
  CsvContent content_;
  ShardSelection selection_;
  std::uint64_t pass_ = 0;
  std::uint64_t text_position_ = 0;
  std::uint64_t catch_up_until_ = 0;
  std::uint64_t resumed_at_ = 0;  // in the text of this pass: lines are counted from here
  bool handing_out_ = false;      // a sealed window has not ended yet
  WindowEnd window_end_;

  LocalCounts counts_;
  SourceCounters counters_;
  observability::LogLimiter bad_rows_;
};

}  // namespace gpu_telemetry::sources::csv
