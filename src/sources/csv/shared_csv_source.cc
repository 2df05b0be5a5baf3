// The CSV source read by several processes together: positions, resuming, windows.
#include <algorithm>
#include <utility>

#include "sources/csv/csv_source_impl.h"

namespace gpu_telemetry::sources::csv {

Result<std::string> CsvSource::shared_name() {
  if (!content_known_) {
    Result<CsvContent> content = look_at_content(open_);
    if (!content) return content.error();
    content_ = *content;
    content_known_ = true;
  }
  return content_name(content_, options_.timestamp_mode == TimestampMode::kSource, options_.loop);
}

Result<void> CsvSource::select(const ShardSelection& selection, std::stop_token stop) {
  if (const Result<std::string> named = shared_name(); !named) return named.error();
  shared_ = true;
  handing_out_ = ended_ = failed_ = rows_wait_ = false;
  selection_ = selection;
  window_.reset(window_rows_);
  gpus_.select(selection.shards());
  catch_up_until_ = selection.highest();
  pass_ = positions().pass_of(selection.lowest());
  if (!options_.loop && pass_ > 0) {  // everything was read
    scanner_.reset();
    ended_ = handing_out_ = true;
    note_window_end();
    return {};
  }
  if (const Result<void> begun = begin_pass(); !begun) return begun;
  if (const Result<void> read = read_until_header(); !read) return read;
  return skip_to(positions().offset_of(selection.lowest()), stop);
}

// To `offset` in the text of this pass, or where the rows begin if that is behind it.
Result<void> CsvSource::skip_to(std::uint64_t offset, const std::stop_token& stop) {
  if (offset <= scanner_.offset()) return {};
  for (std::uint64_t at = scanner_.input_offset(); at < offset;) {
    if (stop.stop_requested()) return cancelled("reading " + options_.path + " was stopped");
    const Result<std::uint64_t> skipped = input_->skip(offset - at);
    if (!skipped) return skipped.error();
    if (*skipped == 0) break;
    at += *skipped;
  }
  scanner_.go_to(offset);
  note_text_position();
  resumed_at_ = offset;
  return {};
}

Result<SourceState> CsvSource::next_of_window(TelemetryBatch& batch, std::size_t max_rows,
                                              const std::stop_token& stop) {
  window_.begin_batch(batch);
  window_.end_batch(batch);
  if (!handing_out_) {
    if (window_.row_count() == 0 && tables_are_full()) forget_tables();
    if (failed_) return failure_;
    if (ended_) return SourceState::kEnd;
    if (window_rows_ != window_.capacity() && window_.row_count() == 0) {
      window_.reset(window_rows_);
    }
    const Pause pause = collect(false, stop);
    publish_counts();
    rows_wait_ = false;
    if (pause == Pause::kStopped) return cancelled("reading " + options_.path + " was stopped");
    window_.seal(metrics_.metric_count());
    note_window_end();
    handing_out_ = true;
  }
  handing_out_ = !window_.append_to(batch, max_rows, metrics_);
  window_.end_batch(batch);
  return handing_out_ ? SourceState::kBatch : SourceState::kWindowEnd;
}

void CsvSource::note_window_end() {
  window_end_.position = positions().at(pass_, scanner_.offset());
  window_end_.finished = ended_;
  window_end_.shards = ended_ ? selection_.shards() : selection_.before(window_end_.position);
}

}  // namespace gpu_telemetry::sources::csv
