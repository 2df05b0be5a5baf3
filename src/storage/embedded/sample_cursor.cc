#include "storage/embedded/sample_cursor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "storage/embedded/column_source.h"
#include "storage/embedded/interleave.h"
#include "storage/row_cursor.h"

namespace gpu_telemetry::storage::embedded {

namespace {

// Samples of a block, about; and never many more than the second, however they are spread.
constexpr std::uint64_t kBlockSamples = 4096;
constexpr std::uint64_t kSmallestBlock = 128;
constexpr std::uint32_t kNotAsked = UINT32_MAX;

// The answer is made window by window: a window is an interval of time that is expected to hold one
// block of samples. Windows do not cross the borders of slices, so that only the files of one slice
// have their columns looked up at a time.
class MergingCursor final : public SampleCursor {
 public:
  MergingCursor(ReadContext context, const SampleQuery& query, DamageReport report_damage)
      : context_(std::move(context)), query_(query), report_damage_(std::move(report_damage)) {
    low_ = unix_milliseconds(query_.start);
    high_ = unix_milliseconds(query_.end);
    start_after();
    const auto view = [&](const std::shared_ptr<Head>& head) {
      if (head) append_views(*head);
    };
    view(context_.version.frozen);
    view(context_.version.active);
    resolve_metrics();
    clip_to_data();
    left_ = query_.limit == 0 ? UINT64_MAX : query_.limit;
    columns_.resize(names_.size());
  }

  std::span<const std::string> metric_names() const override { return names_; }

  Result<std::span<const StoredSample>> next() override {
    const auto read = read_block();
    if (!read) return read.error();
    return rows();
  }

  Result<std::span<const SampleColumn>> next_columns() override {
    const auto read = read_block();
    if (!read) return read.error();
    // What lies past the limit is told by the order of time.
    if (samples_ > left_) return splitter_.split(rows(), names_.size());
    left_ -= samples_;
    block_columns_.clear();
    for (std::uint32_t metric = 0; metric < columns_.size(); ++metric) {
      Samples& column = columns_[metric];
      if (column.empty()) continue;
      if (newest_first()) {
        std::reverse(column.timestamps.begin(), column.timestamps.end());
        std::reverse(column.values.begin(), column.values.end());
      }
      block_columns_.push_back({metric, column.timestamps, column.values});
    }
    return block_columns_;
  }

 private:
  bool newest_first() const { return query_.order == Order::kNewestFirst; }

  void start_after() {
    if (!query_.after) return;
    const std::int64_t at = unix_milliseconds(query_.after->timestamp);
    if (newest_first()) {
      high_ = std::min(high_, at);
    } else {
      low_ = std::max(low_, at);
    }
  }

  void append_views(const Head& head) {
    auto views = head.view(query_.gpu, context_.cutoff);
    std::move(views.begin(), views.end(), std::back_inserter(views_));
  }

  // Which metrics the answer may have, their sorted names, and the way from the store's numbers.
  void resolve_metrics() {
    std::vector<bool> wanted(context_.metrics->size(), query_.metrics.empty());
    for (const std::string& name : query_.metrics) {
      const std::uint32_t id = context_.metrics->find(name);
      if (id < wanted.size()) wanted[id] = true;
    }
    std::vector<bool> present(wanted.size(), false);
    const auto note = [&](std::uint32_t id) {
      if (id < wanted.size() && wanted[id]) present[id] = true;
    };
    for (const HeadColumnView& view : views_) note(view.metric());
    for (const auto& file : context_.version.files->files()) {
      if (file->first() > high_ || file->last() < low_) continue;
      for (const std::uint32_t id : file->metric_ids()) note(id);
    }
    std::vector<std::uint32_t> ids;
    for (std::uint32_t id = 0; id < present.size(); ++id) {
      if (present[id]) ids.push_back(id);
    }
    const auto names = context_.metrics->names(ids);
    std::vector<std::pair<std::string_view, std::uint32_t>> sorted;
    for (std::size_t i = 0; i < ids.size(); ++i) sorted.emplace_back(names[i], ids[i]);
    std::sort(sorted.begin(), sorted.end());
    number_.assign(wanted.size(), kNotAsked);
    for (const auto& [name, id] : sorted) {
      number_[id] = static_cast<std::uint32_t>(names_.size());
      names_.emplace_back(name);
    }
    if (query_.after) {
      first_number_at_after_ = static_cast<std::uint32_t>(
          std::upper_bound(names_.begin(), names_.end(), query_.after->metric) - names_.begin());
    }
  }

  std::uint32_t number(std::uint32_t id) const {
    return id < number_.size() ? number_[id] : kNotAsked;
  }

  void clip_to_data() {
    std::int64_t first = kMaxTime;
    std::int64_t last = kMinTime;
    const auto& slices = context_.version.files->slices();
    if (!slices.empty()) {
      first = slices.front().first;
      last = slices.back().last;
    }
    for (const HeadColumnView& view : views_) {
      first = std::min(first, view.first());
      last = std::max(last, view.last());
    }
    low_ = std::max(low_, first);
    high_ = std::min(high_, last);
  }

  // Takes the part of the rest that one slice covers, or the gap up to the next one.
  void enter_segment() {
    in_segment_ = true;
    segment_low_ = low_;
    segment_high_ = high_;
    const Slice* slice = nullptr;
    const auto& slices = context_.version.files->slices();
    if (newest_first()) {
      // The last slice that begins at or before the end of the rest.
      const auto after = std::upper_bound(
          slices.begin(), slices.end(), high_,
          [](std::int64_t time, const Slice& candidate) { return time < candidate.first; });
      if (after != slices.begin()) {
        const Slice& candidate = *std::prev(after);
        if (candidate.last >= high_) {
          slice = &candidate;
          segment_low_ = std::max(low_, candidate.first);
        } else {
          segment_low_ = std::max(low_, candidate.last + 1);
        }
      }
    } else {
      const auto at = std::lower_bound(
          slices.begin(), slices.end(), low_,
          [](const Slice& candidate, std::int64_t time) { return candidate.last < time; });
      if (at != slices.end()) {
        if (at->first <= low_) {
          slice = &*at;
          segment_high_ = std::min(high_, at->last);
        } else {
          segment_high_ = std::min(high_, at->first - 1);
        }
      }
    }
    collect_sources(slice);
  }

  void collect_sources(const Slice* slice) {
    sources_.clear();
    const auto take = [&](const ColumnSource& source) {
      if (source.overlaps(segment_low_, segment_high_)) sources_.push_back(source);
    };
    if (slice != nullptr) {
      for (const auto& file : slice->files) {
        if (file->first() > segment_high_ || file->last() < segment_low_) continue;
        for (const ColumnEntry& entry : file->reader().columns(query_.gpu)) {
          const std::uint32_t metric = number(file->metric_ids()[entry.metric]);
          if (metric == kNotAsked) continue;
          take(ColumnSource::of_file(metric, *file, entry, context_.cutoff));
        }
      }
    }
    for (const HeadColumnView& view : views_) {
      const std::uint32_t metric = number(view.metric());
      if (metric != kNotAsked) take(ColumnSource::of_head(metric, view));
    }
    std::stable_sort(
        sources_.begin(), sources_.end(),
        [](const ColumnSource& a, const ColumnSource& b) { return a.metric < b.metric; });
  }

  void leave_segment() {
    in_segment_ = false;
    pass(segment_low_, segment_high_);
  }

  // Takes [low, high], which lies at the near end of the rest, off it.
  void pass(std::int64_t low, std::int64_t high) {
    if (newest_first()) {
      high_ = low - 1;
    } else {
      low_ = high + 1;
    }
    if (in_segment_ && (high_ < segment_low_ || low_ > segment_high_)) in_segment_ = false;
  }

  // Fills columns_ with the next window that has samples; with none at the end.
  Result<void> read_block() {
    if (failure_) return *failure_;
    samples_ = 0;
    for (Samples& column : columns_) column.clear();
    while (samples_ == 0 && left_ > 0 && low_ <= high_ && !names_.empty()) {
      if (!in_segment_) enter_segment();
      const auto window = next_window();
      if (!window) {
        leave_segment();
        continue;
      }
      const auto read = read_window(window->first, window->second);
      if (!read) {
        failure_ = read.error();
        return *failure_;
      }
      pass(window->first, window->second);
    }
    return {};
  }

  // The samples of columns_ in order, as many as the limit leaves.
  std::span<const StoredSample> rows() {
    block_.clear();
    interleave(columns_, query_.order, block_);
    if (block_.size() > left_) block_.resize(static_cast<std::size_t>(left_));
    left_ -= block_.size();
    return block_;
  }

  // The next interval of the segment that holds about a block; none when nothing is left in it.
  std::optional<std::pair<std::int64_t, std::int64_t>> next_window() {
    const std::int64_t rest_low = std::max(low_, segment_low_);
    const std::int64_t rest_high = std::min(high_, segment_high_);
    std::int64_t low = kMaxTime;
    std::int64_t high = kMinTime;
    for (const ColumnSource& source : sources_) {
      if (!source.overlaps(rest_low, rest_high)) continue;
      low = std::min(low, std::max(source.first, rest_low));
      high = std::max(high, std::min(source.last, rest_high));
    }
    if (low > high) return std::nullopt;
    const std::uint64_t target = std::clamp(left_, kSmallestBlock, kBlockSamples);
    while (low < high) {
      double expected = 0;
      for (const ColumnSource& source : sources_) expected += source.estimate(low, high);
      if (expected <= 1.5 * static_cast<double>(target)) break;
      const double share = static_cast<double>(target) / expected;
      const auto width = static_cast<std::int64_t>(static_cast<double>(high - low) * share);
      if (newest_first()) {
        low = high - width;
      } else {
        high = low + width;
      }
    }
    // What lies between the rest's near end and the window is empty and passed with it.
    return newest_first() ? std::pair{low, rest_high} : std::pair{rest_low, high};
  }

  Result<void> read_window(std::int64_t low, std::int64_t high) {
    for (std::size_t i = 0; i < sources_.size();) {
      std::size_t end = i + 1;
      while (end < sources_.size() && sources_[end].metric == sources_[i].metric) ++end;
      const ColumnSource* failed = nullptr;
      const auto read = read_series(std::span(sources_).subspan(i, end - i), low, high,
                                    columns_[sources_[i].metric], buffers_, failed);
      if (!read) {
        if (failed->file != nullptr) report_damage_(*failed->file, read.error());
        return read.error();
      }
      i = end;
    }
    drop_those_before_after(low, high);
    for (const Samples& column : columns_) samples_ += column.size();
    return {};
  }

  // Those of the time at which the page before ended, of metrics that it had.
  void drop_those_before_after(std::int64_t low, std::int64_t high) {
    if (!query_.after) return;
    const std::int64_t time = unix_milliseconds(query_.after->timestamp);
    if (time < low || time > high) return;
    for (Samples& column : std::span(columns_).first(first_number_at_after_)) {
      const auto at = std::lower_bound(column.timestamps.begin(), column.timestamps.end(), time);
      if (at == column.timestamps.end() || *at != time) continue;
      column.values.erase(column.values.begin() + (at - column.timestamps.begin()));
      column.timestamps.erase(at);
    }
  }

  const ReadContext context_;
  const SampleQuery query_;
  const DamageReport report_damage_;
  std::vector<HeadColumnView> views_;  // of the frozen head, then of the active one
  std::vector<std::string> names_;
  std::vector<std::uint32_t> number_;  // by the store's metric number: index into names_
  std::uint32_t first_number_at_after_ = 0;

  std::int64_t low_ = 0;  // the rest of the range that is not answered yet
  std::int64_t high_ = 0;
  std::uint64_t left_ = 0;  // samples until the limit
  bool in_segment_ = false;
  std::int64_t segment_low_ = 0;
  std::int64_t segment_high_ = 0;
  std::vector<ColumnSource> sources_;  // by metric, those written later last
  std::vector<Samples> columns_;       // of the window, by metric
  std::uint64_t samples_ = 0;          // of columns_
  SourceBuffers buffers_;
  std::vector<StoredSample> block_;
  std::vector<SampleColumn> block_columns_;
  ColumnSplitter splitter_;
  std::optional<Error> failure_;
};

}  // namespace

bool is_read_from_memory(const ReadContext& context, const SampleQuery& query, std::uint64_t most) {
  const std::int64_t start = unix_milliseconds(query.start);
  const std::int64_t end = unix_milliseconds(query.end);
  for (const Slice& slice : context.version.files->slices()) {
    if (slice.first <= end && slice.last >= start) return false;
  }
  std::vector<std::uint32_t> metrics;
  for (const std::string& name : query.metrics) {
    const std::uint32_t metric = context.metrics->find(name);
    if (metric != MetricTable::kUnknown) metrics.push_back(metric);
  }
  if (!query.metrics.empty() && metrics.empty()) metrics.push_back(MetricTable::kUnknown);
  std::uint64_t samples = 0;
  for (const auto& head : {context.version.frozen, context.version.active}) {
    if (head) samples += head->samples_to_read(query.gpu, metrics, start, end);
  }
  return samples <= most;
}

std::unique_ptr<SampleCursor> make_sample_cursor(ReadContext context, const SampleQuery& query,
                                                 DamageReport report_damage) {
  return std::make_unique<MergingCursor>(std::move(context), query, std::move(report_damage));
}

}  // namespace gpu_telemetry::storage::embedded
