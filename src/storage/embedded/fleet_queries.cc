#include "storage/embedded/fleet_queries.h"

#include <algorithm>
#include <limits>

#include "storage/embedded/metric_scan.h"
#include "storage/scrape_interval.h"

namespace gpu_telemetry::storage::embedded {

namespace {

// Where the newest sample of a metric of a GPU lies. Heads give its value at once; a file only its
// time, until it is known to be the newest.
struct Found {
  Head::Newest newest;
  const StoredFile* file = nullptr;
  ColumnEntry entry;
};

// One row for each GPU, a cell for each metric.
class NewestValues {
 public:
  NewestValues(const ReadContext& context, const LatestQuery& query,
               const DamageReport& report_damage)
      : context_(context), query_(query), report_damage_(report_damage) {
    for (const std::string& name : query.metrics) metrics_.push_back(context.metrics->find(name));
    found_.resize(query.gpus.size() * metrics_.size());
  }

  Result<LatestTable> find() {
    look_into_heads();
    std::int64_t since = kMaxTime;
    for (const LatestQuery::Place& place : query_.gpus) {
      since = std::min(since, unix_milliseconds(place.since));
    }
    for (const auto& file : context_.version.files->files()) {
      if (file->last() >= since) look_into(*file);
    }
    return values();
  }

 private:
  void look_into_heads() {
    std::vector<Head::Newest> row(metrics_.size());
    for (std::size_t i = 0; i < query_.gpus.size(); ++i) {
      std::fill(row.begin(), row.end(), Head::Newest{});
      for (const auto& head : {context_.version.frozen, context_.version.active}) {
        if (head) head->newest(query_.gpus[i].gpu, metrics_, row);
      }
      for (std::size_t m = 0; m < metrics_.size(); ++m) cell(i, m).newest = row[m];
    }
  }

  // Metric after metric, so that GPUs are asked for in the order in which the file has them.
  void look_into(const StoredFile& file) {
    const auto& ids = file.metric_ids();
    for (std::size_t m = 0; m < metrics_.size(); ++m) {
      const auto place = std::find(ids.begin(), ids.end(), metrics_[m]);
      if (place == ids.end()) continue;
      const auto metric = static_cast<std::uint32_t>(place - ids.begin());
      for (std::size_t i = 0; i < query_.gpus.size(); ++i) {
        Found& found = cell(i, m);
        // What is in a head was written later than what is in a file of the same time.
        const bool in_head = found.file == nullptr && found.newest.timestamp != kMinTime;
        if (found.newest.timestamp > file.last() ||
            (in_head && found.newest.timestamp == file.last())) {
          continue;
        }
        const auto entry = file.reader().find_column(query_.gpus[i].gpu, metric);
        if (!entry || entry->last_timestamp < found.newest.timestamp ||
            (in_head && entry->last_timestamp == found.newest.timestamp)) {
          continue;
        }
        found.newest.timestamp = entry->last_timestamp;
        found.file = &file;
        found.entry = *entry;
      }
    }
  }

  Result<LatestTable> values() {
    constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
    LatestTable table;
    table.values.resize(found_.size(), kNothing);
    table.times.resize(found_.size(), Timestamp::min());
    Samples sample;
    for (std::size_t i = 0; i < query_.gpus.size(); ++i) {
      const std::int64_t since = unix_milliseconds(query_.gpus[i].since);
      for (std::size_t m = 0; m < metrics_.size(); ++m) {
        const Found& found = cell(i, m);
        const std::int64_t time = found.newest.timestamp;
        if (time == kMinTime || time < since) continue;
        if (found.file != nullptr && time < found.file->shown_from(context_.cutoff)) continue;
        double& value = table.values[i * metrics_.size() + m];
        value = found.newest.value;
        table.times[i * metrics_.size() + m] = from_unix_milliseconds(time);
        if (found.file == nullptr) continue;
        sample.clear();
        const auto read =
            found.file->reader().read(found.entry, time, time, sample.timestamps, sample.values);
        if (read) {
          value = sample.values.front();
          continue;
        }
        if (read.error().code != ErrorCode::kCorrupt) return read.error();
        report_damage_(*found.file, read.error());
        value = kNothing;
        table.times[i * metrics_.size() + m] = Timestamp::min();
      }
    }
    return table;
  }

  Found& cell(std::size_t gpu, std::size_t metric) {
    return found_[gpu * metrics_.size() + metric];
  }

  const ReadContext& context_;
  const LatestQuery& query_;
  const DamageReport& report_damage_;
  std::vector<std::uint32_t> metrics_;  // numbers; MetricTable::kUnknown for a name nobody has
  std::vector<Found> found_;
};

// The newest times of a GPU that no head has enough of, from the newest file that has it.
Result<void> times_in_files(const ReadContext& context, const GpuUuid& gpu,
                            const DamageReport& report_damage, std::vector<std::int64_t>& times) {
  const auto& files = context.version.files->files();
  const StoredFile* newest_file = nullptr;
  ColumnEntry chosen;
  for (const auto& file : files) {
    if (newest_file != nullptr && file->last() <= chosen.last_timestamp) continue;
    for (const ColumnEntry& entry : file->reader().columns(gpu)) {
      if (newest_file != nullptr && entry.last_timestamp <= chosen.last_timestamp) continue;
      newest_file = file.get();
      chosen = entry;
    }
  }
  if (newest_file == nullptr) return {};
  // As far back as kIntervalTimes samples reach when they are spread evenly, and once more.
  const std::int64_t reach = (chosen.last_timestamp - chosen.first_timestamp) /
                             std::max<std::int64_t>(chosen.samples, 1) *
                             static_cast<std::int64_t>(2 * kIntervalTimes);
  Samples samples;
  const auto read =
      newest_file->reader().read(chosen, chosen.last_timestamp - reach, chosen.last_timestamp,
                                 samples.timestamps, samples.values);
  if (!read) {
    if (read.error().code != ErrorCode::kCorrupt) return read;
    report_damage(*newest_file, read.error());
    return {};
  }
  times = std::move(samples.timestamps);
  return {};
}

}  // namespace

Result<LatestTable> fleet_values(const ReadContext& context, const LatestQuery& query,
                                 const DamageReport& report_damage) {
  return NewestValues(context, query, report_damage).find();
}

Result<std::vector<Milliseconds>> fleet_intervals(const ReadContext& context,
                                                  std::span<const GpuUuid> gpus,
                                                  const DamageReport& report_damage) {
  std::vector<Milliseconds> intervals;
  intervals.reserve(gpus.size());
  std::vector<std::int64_t> times;
  for (const GpuUuid& gpu : gpus) {
    context.version.active->newest_times(gpu, kIntervalTimes, kIntervalLately, times);
    if (times.size() < 2 && context.version.frozen) {
      context.version.frozen->newest_times(gpu, kIntervalTimes, kIntervalLately, times);
    }
    if (times.size() < 2) {
      const auto found = times_in_files(context, gpu, report_damage, times);
      if (!found) return found.error();
    }
    intervals.push_back(median_gap(times));
  }
  return intervals;
}

}  // namespace gpu_telemetry::storage::embedded
