#include "sources/csv/csv_source.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "sources/csv/csv_source_impl.h"
#include "sources/csv/csv_value.h"

namespace gpu_telemetry::sources {
namespace csv {
namespace {

// How long a stop request may go unnoticed while a pipe has nothing to read.
constexpr std::chrono::milliseconds kStopPatience{50};

// At most kStopPatience, so that a clock that is set is noticed.
void sleep(Milliseconds pause, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, std::min<Milliseconds>(pause, kStopPatience), [] { return false; });
}

}  // namespace

Result<void> CsvSource::start() {
  if (const Result<void> begun = begin_pass(); !begun) return begun.error();
  if (is_stream_) return {};
  return read_until_header();
}

Result<void> CsvSource::read_until_header() {
  CsvRecord record;
  while (!header_known_) {
    const ScanStatus status = scanner_.next(record);
    if (status != ScanStatus::kNeedInput) {
      const Result<bool> known = read_header(status, record);
      if (!known) return known.error();
      continue;
    }
    bool got = false;
    if (read_input(false, {}, got) == Pause::kFailed) return std::move(failure_);
  }
  return {};
}

Result<SourceState> CsvSource::next(TelemetryBatch& batch, std::size_t max_rows,
                                    std::stop_token stop) {
  if (shared_) return next_of_window(batch, std::max<std::size_t>(max_rows, 1), stop);
  if (window_.is_drained() && window_.row_count() == 0 && tables_are_full()) forget_tables();
  window_.begin_batch(batch);
  fill(batch, std::max<std::size_t>(max_rows, 1), stop);
  window_.end_batch(batch);
  publish_counts();
  rows_wait_ = false;
  if (!batch.empty()) return SourceState::kBatch;
  if (failed_) return failure_;
  if (ended_) return SourceState::kEnd;
  return cancelled("reading " + options_.path + " was stopped");
}

// Hands out what is sealed and collects more, until the batch is full, its time is up, or there is
// a reason to come back without.
void CsvSource::fill(TelemetryBatch& batch, std::size_t max_rows, const std::stop_token& stop) {
  bool hand_out = false;
  while (window_.append_to(batch, max_rows, metrics_)) {
    const bool done = hand_out || batch.samples.size() == max_rows;
    if ((done && !batch.empty()) || failed_ || ended_) return;
    const Pause pause = collect(!batch.empty(), stop);
    if (pause == Pause::kStopped) return;
    hand_out = pause != Pause::kWindowFull;
    window_.seal(metrics_.metric_count());
  }
}

CsvSource::Pause CsvSource::collect(bool batch_has_rows, const std::stop_token& stop) {
  CsvRecord record;
  while (!window_.is_full()) {
    const ScanStatus status = scanner_.next(record);
    if (status == ScanStatus::kRecord && header_known_) [[likely]] {
      read_row(record);
      continue;
    }
    if (status == ScanStatus::kNeedInput) {
      bool got = false;
      const Pause pause = read_input(batch_has_rows || window_.row_count() > 0, stop, got);
      if (!got) return pause;
      continue;
    }
    if (!header_known_) {
      const Result<bool> known = read_header(status, record);
      if (!known) return fail(known.error());
    } else if (status == ScanStatus::kMalformed) {
      reject_row(scanner_.problem_line(), scanner_.problem());
    } else {
      return end_pass();
    }
  }
  return Pause::kWindowFull;
}

// Gives the scanner more text, or the end. `got` is false when there is a reason to come back
// first.
CsvSource::Pause CsvSource::read_input(bool rows_wait, const std::stop_token& stop, bool& got) {
  while (true) {
    if (stop.stop_requested()) return Pause::kStopped;
    if (tables_are_full()) {
      if (rows_wait) return Pause::kTimeUp;  // with those handed out, next() can forget
      forget_tables();
    }
    if (const Milliseconds ahead = times_.ahead(); ahead > Milliseconds{0}) {
      // A file that is read faster than its scrapes could have been made would get stamps ever
      // further from now.
      if (rows_wait) return Pause::kTimeUp;
      sleep(ahead, stop);
      continue;
    }
    if (shared_ && scanner_.input_offset() + kReadSize >= positions().offset_limit()) {
      return fail(invalid(options_.path + " has grown to more than " +
                          std::to_string(positions().offset_limit()) +
                          " bytes while it is shared; start its streamers again"));
    }
    std::chrono::milliseconds patience = kStopPatience;
    if (rows_wait) {
      const SteadyTime now = options_.clock->steady_now();
      if (!rows_wait_) rows_wait_since_ = now;
      rows_wait_ = true;
      if (now - rows_wait_since_ >= options_.window_time) {
        rows_wait_ = false;
        return Pause::kTimeUp;
      }
      patience = std::min(patience, std::chrono::ceil<std::chrono::milliseconds>(
                                        options_.window_time - (now - rows_wait_since_)));
    }
    const Result<InputRead> read = input_->read(scanner_.space(), patience);
    if (!read) return fail(read.error());
    if (read->state == InputRead::State::kWaiting) {
      if (rows_wait) return Pause::kTimeUp;
      continue;
    }
    if (read->state == InputRead::State::kEnd) scanner_.finish();
    scanner_.commit(read->size);
    note_text_position();
    got = true;
    return Pause::kWindowFull;
  }
}

Result<void> CsvSource::begin_pass() {
  Result<std::unique_ptr<ByteInput>> input = open_();
  if (!input) return input.error();
  input_ = std::move(*input);
  scanner_.reset();
  resumed_at_ = 0;
  header_known_ = false;
  times_.begin_pass();
  pass_start_ = counters_.rows_accepted.load(std::memory_order_relaxed) + counts_.rejected[0];
  return {};
}

CsvSource::Pause CsvSource::end_pass() {
  input_.reset();
  counters_.passes.fetch_add(1, std::memory_order_relaxed);
  const bool in_vain = pass_was_in_vain();
  scanner_.reset();
  ++pass_;
  if (!options_.loop) {
    ended_ = true;
  } else if (in_vain) {
    observability::log_warn("the whole file has no reading for this streamer: not read again",
                            {{"file", options_.path}});
    ended_ = true;
  } else if (shared_ && pass_ == positions().pass_limit()) {
    observability::log_warn("the file was read as often as can be counted: not read again",
                            {{"file", options_.path}, {"passes", pass_}});
    ended_ = true;
  } else if (const Result<void> begun = begin_pass(); !begun) {
    return fail(begun.error());
  }
  return Pause::kPassEnd;
}

// Whether the whole file was read and had nothing.
bool CsvSource::pass_was_in_vain() const {
  const std::uint64_t accepted =
      counters_.rows_accepted.load(std::memory_order_relaxed) + counts_.rejected[0];
  return accepted == pass_start_ && resumed_at_ == 0 && catch_up_until_ <= positions().at(pass_, 0);
}

// What the scanner found where the header should be. True: it is known now.
Result<bool> CsvSource::read_header(ScanStatus status, const CsvRecord& record) {
  if (status == ScanStatus::kEnd) {
    return invalid(options_.path +
                   " is empty; expected a header line with at least the columns timestamp, "
                   "metric_name, uuid and value");
  }
  if (status == ScanStatus::kMalformed) {
    return invalid(options_.path + ":" + std::to_string(scanner_.problem_line()) +
                   ": this is not a CSV file of telemetry: " + std::string(scanner_.problem()) +
                   "; expected a header line with at least the columns timestamp, metric_name, "
                   "uuid and value");
  }
  Result<CsvHeader> header = CsvHeader::read(record);
  if (!header) return header.error().at(options_.path + ":" + std::to_string(record.line));
  if (*header != header_) {
    header_ = std::move(*header);
    gpus_.set_header(header_);
  }
  header_known_ = true;
  return true;
}

CsvSource::Pause CsvSource::fail(Error error) {
  failed_ = true;
  failure_ = std::move(error);
  return Pause::kFailed;
}

inline void CsvSource::read_row(const CsvRecord& record) {
  if (record.field_count != header_.column_count()) [[unlikely]]
    return reject_columns(record);
  const std::string_view raw_time = header_.raw(record, Column::kTimestamp);
  Timestamp time;
  if (const Timestamp* const known = times_.find(raw_time); known != nullptr) {
    time = *known;
  } else {
    const Result<Timestamp> read = times_.read(raw_time);
    if (!read) return reject_row(record.line, read.error().message);
    time = *read;
  }
  const MetricTable::Found* const metric = metrics_.find(header_.raw(record, Column::kMetricName));
  if (metric == nullptr) [[unlikely]] {
    return reject_row(record.line, "the metric's name is not one ([a-zA-Z_:][a-zA-Z0-9_:]*)");
  }
  const GpuVariant* gpu = gpus_.find(record, metric->text);
  if (gpu == nullptr) [[unlikely]] {
    const Result<const GpuVariant*> added = gpus_.add(record);
    if (!added) return reject_row(record.line, added.error().message);
    gpu = *added;
  }
  const std::uint64_t position = text_position_ + record.begin;
  if (!gpu->owned || (position < catch_up_until_ && is_published(*gpu, position))) {
    ++counts_.other_shard;
    return;
  }
  std::string_view text;
  if (!strip_quotes(header_.raw(record, Column::kValue), text)) [[unlikely]] {
    return reject_row(record.line, "a quoted field does not end with its quote");
  }
  const Reading reading = read_value(metrics_.metric(metric->metric), text);
  ++counts_.rejected[static_cast<std::size_t>(reading.rejection)];
  if (reading.rejection != Rejection::kNone) return;
  window_.add(gpu->entity, gpu->gpu, time, metric->metric, reading.value);
}

void CsvSource::reject_columns(const CsvRecord& record) {
  reject_row(record.line, "the row has " + std::to_string(record.field_count) +
                              " columns, the header " + std::to_string(header_.column_count()));
  if (record.line_count > 1) scanner_.resume_at_second_line(record);
}

void CsvSource::reject_row(std::uint64_t line, std::string_view why) {
  ++counts_.malformed;
  constexpr auto kLevel = observability::LogLevel::kWarn;
  constexpr std::string_view kMessage = "skipped a row that cannot be read";
  if (resumed_at_ == 0) {
    bad_rows_.log(kLevel, kMessage, {{"file", options_.path}, {"line", line}, {"reason", why}});
  } else {
    bad_rows_.log(kLevel, kMessage,
                  {{"file", options_.path},
                   {"line", line},
                   {"lines_counted_from_byte", resumed_at_},
                   {"reason", why}});
  }
}

void CsvSource::publish_counts() {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  counters_.rows_malformed.fetch_add(counts_.malformed, kRelaxed);
  counters_.rows_other_shard.fetch_add(counts_.other_shard, kRelaxed);
  for (std::size_t i = 1; i < counts_.rejected.size(); ++i) {
    counters_.rejected[i].fetch_add(counts_.rejected[i], kRelaxed);
    counters_.rows_absent.fetch_add(counts_.rejected[i], kRelaxed);
  }
  counters_.rows_accepted.fetch_add(counts_.rejected[0], kRelaxed);
  counts_ = {};
}

}  // namespace csv

Result<std::unique_ptr<Source>> open_csv_source(const CsvSourceOptions& options) {
  const std::string path = options.path;
  csv::OpenInput open = [path] { return csv::open_input(path); };
  return open_csv_source(options, std::move(open), csv::is_stream(path));
}

Result<std::unique_ptr<Source>> open_csv_source(const CsvSourceOptions& options,
                                                csv::OpenInput open, bool is_stream) {
  if (options.loop && (is_stream || options.path == "-")) {
    return invalid((options.path == "-" ? "standard input" : options.path) +
                   " can be read only once, and so not in a loop; expected a file");
  }
  auto source = std::make_unique<csv::CsvSource>(options, std::move(open), is_stream);
  if (const Result<void> started = source->start(); !started) return started.error();
  return std::unique_ptr<Source>(std::move(source));
}

}  // namespace gpu_telemetry::sources
