#include "services/api_gateway/telemetry_buckets.h"

#include <algorithm>
#include <array>

#include "domain/duration.h"
#include "services/api_gateway/answer.h"
#include "storage/row_cursor.h"

namespace gpu_telemetry::services {
namespace {

using storage::Combine;
using storage::StoredSample;

// Values that are in memory at a time, about.
constexpr std::int64_t kWindowValues = 100'000;

constexpr std::array<std::pair<std::string_view, Combine>, 7> kWords = {{
    {"avg", Combine::kAverage},
    {"min", Combine::kMin},
    {"max", Combine::kMax},
    {"last", Combine::kLast},
    {"count", Combine::kCount},
    {"rate", Combine::kRate},
    {"increase", Combine::kIncrease},
}};

Timestamp bucket_start(Timestamp time, Milliseconds step) {
  const Milliseconds since = time.time_since_epoch();
  const Milliseconds rest = since % step;
  return time - (rest.count() < 0 ? rest + step : rest);
}

// A window of time after another, each with all metrics, in the order of the answer.
class BucketCursor final : public storage::RowCursor {
 public:
  BucketCursor(storage::TelemetryRepository& telemetry, BucketQuestion question)
      : telemetry_(telemetry), question_(std::move(question)) {
    const auto metrics = static_cast<std::int64_t>(std::max<std::size_t>(metric_count(), 1));
    window_ = question_.step * std::max<std::int64_t>(kWindowValues / metrics, 1);
    if (question_.after) {
      // The bucket of the last page's last value may have more metrics.
      const Timestamp bucket = question_.after->timestamp;
      if (newest_first()) {
        question_.end = std::min(question_.end, bucket + question_.step - Milliseconds{1});
      } else {
        question_.start = std::max(question_.start, bucket);
      }
    }
    next_ = newest_first() ? question_.end : question_.start;
    ended_ = question_.start > question_.end || question_.metrics.empty();
  }

  Result<std::span<const StoredSample>> next() override {
    block_.clear();
    while (block_.empty() && !ended_) {
      const auto read = read_window();
      if (!read) return read.error();
    }
    return std::span<const StoredSample>(block_);
  }
  std::span<const std::string> metric_names() const override { return question_.metrics; }

 private:
  std::size_t metric_count() const { return question_.metrics.size(); }
  bool newest_first() const { return question_.order == storage::Order::kNewestFirst; }

  Result<void> read_window() {
    storage::GroupQuery query;
    query.members = {{question_.gpu, 0}};
    query.step = question_.step;
    const Timestamp bucket = bucket_start(next_, question_.step);
    if (newest_first()) {
      query.end = next_;
      query.start = std::max(question_.start, bucket - window_ + question_.step);
      next_ = query.start - Milliseconds{1};
      ended_ = next_ < question_.start;
    } else {
      query.start = next_;
      query.end = std::min(question_.end, bucket + window_ - Milliseconds{1});
      next_ = query.end + Milliseconds{1};
      ended_ = next_ > question_.end;
    }
    std::vector<storage::GroupSeries> columns;
    for (const std::string& metric : question_.metrics) {
      query.metric = metric;
      query.combine = question_.combine.value_or(default_combine(metric));
      auto series = telemetry_.aggregate_groups(query);
      if (!series) return series.error();
      columns.push_back(series->empty() ? storage::GroupSeries{} : std::move(series->front()));
    }
    if (newest_first()) {
      for (storage::GroupSeries& column : columns) {
        std::reverse(column.times.begin(), column.times.end());
        std::reverse(column.values.begin(), column.values.end());
      }
    }
    interleave(columns);
    return {};
  }

  // Columns, each in the order of the answer, to rows: by time, ties by metric.
  void interleave(const std::vector<storage::GroupSeries>& columns) {
    std::vector<std::size_t> at(columns.size(), 0);
    while (true) {
      std::optional<Timestamp> time;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        if (at[i] == columns[i].times.size()) continue;
        const Timestamp candidate = columns[i].times[at[i]];
        if (!time || (newest_first() ? candidate > *time : candidate < *time)) time = candidate;
      }
      if (!time) return;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        if (at[i] == columns[i].times.size() || columns[i].times[at[i]] != *time) continue;
        const double value = columns[i].values[at[i]++];
        if (is_after(*time, i)) block_.push_back({*time, static_cast<std::uint32_t>(i), value});
      }
    }
  }

  // Whether the value comes after the last one of the page before.
  bool is_after(Timestamp time, std::size_t metric) const {
    if (!question_.after || time != question_.after->timestamp) return true;
    return question_.metrics[metric] > question_.after->metric;
  }

  storage::TelemetryRepository& telemetry_;
  BucketQuestion question_;
  Milliseconds window_{0};
  Timestamp next_;
  bool ended_ = false;
  std::vector<StoredSample> block_;
};

// The least of the steps that people use with which `range` has no more than `most` buckets.
Milliseconds step_for(Milliseconds range, std::uint64_t most) {
  using std::chrono::hours;
  using std::chrono::minutes;
  using std::chrono::seconds;
  const auto least = range / static_cast<std::int64_t>(most - 1) + Milliseconds{1};
  for (const Milliseconds step :
       {Milliseconds{seconds{1}}, Milliseconds{seconds{2}}, Milliseconds{seconds{5}},
        Milliseconds{seconds{10}}, Milliseconds{seconds{15}}, Milliseconds{seconds{30}},
        Milliseconds{minutes{1}}, Milliseconds{minutes{2}}, Milliseconds{minutes{5}},
        Milliseconds{minutes{10}}, Milliseconds{minutes{15}}, Milliseconds{minutes{30}},
        Milliseconds{hours{1}}, Milliseconds{hours{2}}, Milliseconds{hours{6}},
        Milliseconds{hours{12}}, Milliseconds{hours{24}}}) {
    if (step >= least) return step;
  }
  return std::chrono::ceil<std::chrono::days>(least);
}

}  // namespace

std::optional<Combine> combine_of(std::string_view word) {
  for (const auto& [name, combine] : kWords) {
    if (name == word) return combine;
  }
  return std::nullopt;
}

Combine default_combine(std::string_view metric) {
  return is_counter(metric) ? Combine::kRate : Combine::kAverage;
}

std::string unit_of(std::string_view metric, Combine combine) {
  if (combine == Combine::kCount) return {};
  std::string unit(unit_of(metric));
  if (combine == Combine::kRate) unit += "/s";
  return unit;
}

std::unique_ptr<storage::SampleCursor> open_buckets(storage::TelemetryRepository& telemetry,
                                                    BucketQuestion question) {
  return std::make_unique<BucketCursor>(telemetry, std::move(question));
}

Result<void> check_buckets(Timestamp start, Timestamp end, Milliseconds step, std::uint64_t most) {
  if (start > end) return {};
  const auto buckets =
      (bucket_start(end, step) - bucket_start(start, step)) / step + std::int64_t{1};
  if (static_cast<std::uint64_t>(buckets) <= most) return {};
  return invalid("step: " + format_duration(step) + " makes " + std::to_string(buckets) +
                 " buckets of this range; at most " + std::to_string(most) + ", so take " +
                 format_duration(step_for(end - start, most)) + " or a shorter range");
}

}  // namespace gpu_telemetry::services
