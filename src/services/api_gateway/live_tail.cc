#include "services/api_gateway/live_tail.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "observability/log.h"
#include "services/api_gateway/answer.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

// A sample that is older than this when it is first seen is no news.
constexpr std::chrono::minutes kNews{5};

bool is_one_of(const std::vector<std::string>& wanted, const std::string& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

// One GPU's new values by time, for the metrics of the union.
using NewValues = std::map<Timestamp, std::vector<std::pair<std::size_t, double>>>;

}  // namespace

bool TailFilter::matches(const Gpu& gpu) const {
  if (!gpus.empty() && !std::binary_search(gpus.begin(), gpus.end(), gpu.uuid)) return false;
  return is_one_of(filter.hostname, gpu.hostname) && is_one_of(filter.model_name, gpu.model_name) &&
         is_one_of(filter.pod_namespace, gpu.attribution.pod_namespace) &&
         is_one_of(filter.pod, gpu.attribution.pod) &&
         is_one_of(filter.container, gpu.attribution.container);
}

void append_sample_event(std::string& out, const GpuUuid& gpu, Timestamp time,
                         const std::vector<std::pair<std::string_view, double>>& values) {
  out += "event: sample\nid: " + std::to_string(unix_milliseconds(time)) + "\ndata: {";
  json::append_member(out, "gpu_uuid", gpu.to_string());
  append_time_member(out, "timestamp", time);
  json::append_key(out, "values");
  out += '{';
  for (const auto& [metric, value] : values) append_number_member(out, metric, value);
  out += "}}\n\n";
}

void TailReader::push(std::string_view events, Timestamp earliest) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  if (waiting_.size() + events.size() > kMostWaiting) {
    if (!lost_since_ || earliest < *lost_since_) lost_since_ = earliest;
    return;
  }
  waiting_ += events;
  wake_();
}

void TailReader::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

std::string TailReader::take() {
  const std::lock_guard lock(mutex_);
  std::string events;
  if (lost_since_) {
    events = "event: gap\ndata: {";
    append_time_member(events, "from", *lost_since_);
    events += "}\n\n";
    lost_since_.reset();
  }
  events += waiting_;
  waiting_.clear();
  return events;
}

LiveTail::LiveTail(storage::TelemetryRepository& telemetry, storage::GpuRepository& gpus,
                   const Clock& clock, std::chrono::milliseconds interval)
    : telemetry_(telemetry), gpus_(gpus), clock_(clock), interval_(interval) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

LiveTail::~LiveTail() {
  thread_.request_stop();
  changed_.notify_all();
}

bool LiveTail::add(const std::shared_ptr<TailReader>& reader) {
  const std::lock_guard lock(mutex_);
  if (readers_.size() >= kMostReaders) return false;
  readers_.push_back(reader);
  changed_.notify_all();
  return true;
}

void LiveTail::remove(const std::shared_ptr<TailReader>& reader) {
  reader->close();
  const std::lock_guard lock(mutex_);
  std::erase(readers_, reader);
}

void LiveTail::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Readers readers;
    {
      std::unique_lock lock(mutex_);
      if (readers_.empty()) seen_.clear();
      changed_.wait(lock, stop, [this] { return !readers_.empty(); });
      readers = readers_;
    }
    if (stop.stop_requested()) return;
    look(readers);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, interval_, [] { return false; });
  }
}

// When the union changes what was seen is kept of the metrics that stay.
void LiveTail::take_metrics(const Readers& readers) {
  std::set<std::string> all;
  for (const auto& reader : readers) {
    all.insert(reader->filter().metrics.begin(), reader->filter().metrics.end());
  }
  std::vector<std::string> metrics(all.begin(), all.end());
  if (metrics == metrics_) return;
  for (auto& [uuid, seen] : seen_) {
    std::vector<Timestamp> times(metrics.size(), Timestamp::min());
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      const auto place = std::lower_bound(metrics_.begin(), metrics_.end(), metrics[i]);
      if (place == metrics_.end() || *place != metrics[i]) continue;
      times[i] = seen.times[static_cast<std::size_t>(place - metrics_.begin())];
    }
    seen.times = std::move(times);
  }
  metrics_ = std::move(metrics);
}

void LiveTail::look(const Readers& readers) {
  take_metrics(readers);
  const auto page = gpus_.list({}, std::nullopt, 0);
  storage::LatestQuery query;
  query.metrics = metrics_;
  std::vector<const Gpu*> wanted;
  const Timestamp since = clock_.now() - kNews;
  if (page) {
    for (const GpuRecord& record : page->gpus) {
      const bool matches = std::any_of(readers.begin(), readers.end(), [&](const auto& reader) {
        return reader->filter().matches(record.gpu);
      });
      if (!matches) continue;
      wanted.push_back(&record.gpu);
      query.gpus.push_back({record.gpu.uuid, since});
    }
  }
  const auto latest =
      page ? telemetry_.latest_values(query) : Result<storage::LatestTable>(page.error());
  if (!latest) {
    if (!failed_) {
      observability::log_warn("the live tail waits: storage cannot be asked",
                              {{"error", latest.error().message}});
    }
    failed_ = true;
    return;
  }
  failed_ = false;
  std::vector<std::string> events(readers.size());
  std::vector<Timestamp> earliest(readers.size(), Timestamp::max());
  std::vector<std::pair<std::string_view, double>> values;
  for (std::size_t g = 0; g < wanted.size(); ++g) {
    const Gpu& gpu = *wanted[g];
    const auto [place, is_new] = seen_.try_emplace(gpu.uuid);
    Seen& seen = place->second;
    if (is_new) seen.times.resize(metrics_.size(), Timestamp::min());
    NewValues news;
    for (std::size_t m = 0; m < metrics_.size(); ++m) {
      const std::size_t cell = g * metrics_.size() + m;
      const Timestamp time = latest->times[cell];
      if (!std::isfinite(latest->values[cell]) || time <= seen.times[m]) continue;
      seen.times[m] = time;
      news[time].emplace_back(m, latest->values[cell]);
    }
    if (news.empty()) continue;
    for (std::size_t r = 0; r < readers.size(); ++r) {
      const TailFilter& filter = readers[r]->filter();
      if (!filter.matches(gpu)) continue;
      for (const auto& [time, each] : news) {
        values.clear();
        for (const auto& [m, value] : each) {
          const std::string& metric = metrics_[m];
          const auto& chosen = filter.metrics;
          if (!std::binary_search(chosen.begin(), chosen.end(), metric)) continue;
          values.emplace_back(metric, value);
        }
        if (values.empty()) continue;
        append_sample_event(events[r], gpu.uuid, time, values);
        earliest[r] = std::min(earliest[r], time);
      }
    }
  }
  for (std::size_t r = 0; r < readers.size(); ++r) {
    if (!events[r].empty()) readers[r]->push(events[r], earliest[r]);
  }
}

}  // namespace gpu_telemetry::services
