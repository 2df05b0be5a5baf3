// The simulated fleet as a live source, and the options' limits.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "domain/metric_catalogue.h"
#include "sources/shareable_source.h"
#include "sources/simulator/fleet_model.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestInterval = std::chrono::days{1};
constexpr milliseconds kShortestJob = std::chrono::seconds{3};
constexpr milliseconds kLongestJob = std::chrono::days{30};

class SimulatorSource final : public Source, public ShareableSource {
 public:
  SimulatorSource(const SimulatorOptions& options, const Clock& clock, Shard shard)
      : options_(options), clock_(clock), part_(shard), fleet_(options) {
    own(kAllShards);
    for (std::size_t metric = 0; metric < kSimulatedMetrics; ++metric) {
      definitions_[metric] = find_metric(kSimulatedMetricNames[metric]);
    }
    next_owned_ = owned_.size();  // the first call starts the first pass
  }

  Result<SourceState> next(TelemetryBatch& batch, std::size_t max_rows,
                           std::stop_token stop) override {
    if (shared_) return next_of_window(batch, max_rows, stop);
    batch.clear();
    metric_in_batch_.fill(kNotInBatch);
    while (batch.empty()) {
      if (stop.stop_requested()) return cancelled("the simulation was stopped");
      if (next_owned_ == owned_.size()) {
        if (options_.passes != 0 && passes_ == options_.passes) return SourceState::kEnd;
        if (auto started = start_pass(stop); !started) return started.error();
      }
      fill(batch, std::max<std::size_t>(max_rows, 1), owned_.size());
    }
    return SourceState::kBatch;
  }

  const SourceCounters& counters() const override { return counters_; }

  ShareableSource* shareable() override { return this; }
  Result<std::string> shared_name() override;
  Result<void> select(const ShardSelection& selection, std::stop_token stop) override;
  void set_window(std::size_t rows) override { window_rows_ = std::max<std::size_t>(rows, 1); }
  const WindowEnd& window_end() const override { return window_end_; }
  milliseconds until_settled() override;

 private:
  struct OwnedGpu {
    std::uint32_t index = 0;  // in the fleet
    std::uint32_t shard = 0;
    std::uint32_t attribution_changes = 0;
    GpuPointer gpu;
  };

  static constexpr std::uint32_t kNotInBatch = UINT32_MAX;

  // From now on the GPUs of these shards are scraped, as far as they belong to the fixed part.
  void own(ShardSet shards) {
    owned_.clear();
    const std::span<const SimulatedGpu> gpus = fleet_.gpus();
    for (std::uint32_t i = 0; i < gpus.size(); ++i) {
      const std::uint32_t shard = shard_of(gpus[i].uuid);
      if (!contains(shards, shard) || !part_.owns(gpus[i].uuid)) continue;
      owned_.push_back({i, shard, UINT32_MAX, nullptr});
    }
  }

  Result<SourceState> next_of_window(TelemetryBatch& batch, std::size_t max_rows,
                                     const std::stop_token& stop);
  void begin_window();
  static std::uint64_t position_of(Timestamp time) {
    return static_cast<std::uint64_t>(unix_milliseconds(time));
  }
  bool is_due(std::uint32_t shard) const;

  Result<void> start_pass(const std::stop_token& stop) {
    if (options_.unpaced) {
      const Timestamp start = passes_ == 0 ? options_.start.value_or(clock_.now()) : time_;
      time_ = passes_ == 0 ? start : start + std::max(options_.interval, milliseconds{1});
    } else {
      if (auto waited = wait_for_pass(stop); !waited) return waited;
    }
    fleet_.advance(step());
    previous_time_ = time_;
    next_owned_ = 0;
    next_metric_ = 0;
    counters_.rows_other_shard += (fleet_.gpus().size() - owned_.size()) * kRegularMetrics;
    ++passes_;
    return {};
  }

  // How far the fleet moves on: by the time between two passes, whatever the clock does.
  milliseconds step() const {
    if (passes_ == 0) return milliseconds{0};
    if (options_.interval.count() != 0) return options_.interval;
    return std::clamp<milliseconds>(time_ - previous_time_, milliseconds{0}, kLongestInterval);
  }

  // Until the next pass is due and the wall clock has passed the last one's time.
  Result<void> wait_for_pass(const std::stop_token& stop) {
    if (passes_ == 0) {
      due_ = clock_.steady_now();
    } else {
      due_ += options_.interval;
    }
    for (;;) {
      const SteadyTime now = clock_.steady_now();
      const Timestamp time = clock_.now();
      const bool newer = passes_ == 0 || time > previous_time_;
      if (now >= due_ && newer) {
        time_ = time;
        due_ = std::max(due_, now - options_.interval);  // missed passes are not made up for
        return {};
      }
      if (now >= due_ && time < previous_time_ - kLargestSetBack) {
        // The clock was set back: better an overlap in time than silence for as long.
        time_ = time;
        return {};
      }
      // The machine's clocks run on while this sleeps; another clock is looked at every
      // millisecond.
      std::chrono::nanoseconds pause = milliseconds{1};
      if (&clock_ == &system_clock()) {
        pause = std::max<std::chrono::nanoseconds>(pause, due_ - now);
      }
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, pause, [] { return false; });
      if (stop.stop_requested()) return cancelled("the simulation was stopped");
    }
  }

  // Goes on with the pass where the last batch ended, until the batch is full or the GPUs before
  // `end`, or all of the pass, are scraped.
  void fill(TelemetryBatch& batch, std::size_t max_rows, std::size_t end) {
    std::size_t rows = 0;
    while (next_owned_ < end && rows < max_rows) {
      rows += add_scrape(batch, owned_[next_owned_], max_rows - rows);
      if (next_metric_ == kSimulatedMetrics) {
        next_metric_ = 0;
        if (++next_owned_ == owned_.size()) ++counters_.passes;
      }
    }
    counters_.rows_accepted += batch.samples.size();
  }

  // Adds the readings of one GPU from `next_metric_` on. Returns how many rows they took.
  std::size_t add_scrape(TelemetryBatch& batch, OwnedGpu& owned, std::size_t max_rows) {
    const SimulatedGpu& gpu = fleet_.gpus()[owned.index];
    const auto first_sample = static_cast<std::uint32_t>(batch.samples.size());
    std::size_t rows = 0;
    for (; next_metric_ < kSimulatedMetrics && rows < max_rows; ++next_metric_) {
      if (gpu.readings.lacks(next_metric_)) {
        ++rows;
        reject(Rejection::kBlank);
      } else if (gpu.readings.has(next_metric_)) {
        ++rows;
        add_sample(batch, gpu.readings.values[next_metric_]);
      }
    }
    const auto count = static_cast<std::uint32_t>(batch.samples.size()) - first_sample;
    if (count != 0) {
      if (owned.attribution_changes != gpu.attribution_changes) describe(gpu, owned);
      batch.scrapes.push_back(
          {static_cast<std::uint32_t>(batch.gpus.size()), first_sample, count, time_});
      batch.gpus.push_back(owned.gpu);
    }
    return rows;
  }

  void add_sample(TelemetryBatch& batch, std::int64_t value) {
    const double number = static_cast<double>(value) / (next_metric_ == kPowerUsage ? 1000.0 : 1.0);
    const Reading reading = interpret_reading(definitions_[next_metric_], number);
    if (reading.rejection != Rejection::kNone) return reject(reading.rejection);
    std::uint32_t& metric = metric_in_batch_[next_metric_];
    if (metric == kNotInBatch) {
      metric = static_cast<std::uint32_t>(batch.metrics.size());
      batch.metrics.emplace_back(kSimulatedMetricNames[next_metric_]);
    }
    batch.samples.push_back({metric, reading.value});
  }

  void reject(Rejection rejection) {
    ++counters_.rows_absent;
    ++counters_.rejected[static_cast<std::size_t>(rejection)];
  }

  void describe(const SimulatedGpu& simulated, OwnedGpu& owned) {
    auto gpu = std::make_shared<Gpu>();
    gpu->uuid = simulated.uuid;
    gpu->gpu_index = std::to_string(simulated.index_on_host);
    gpu->device_id = "nvidia" + gpu->gpu_index;
    gpu->model_name = kSimulatedModel;
    gpu->hostname = fleet_.host_name(simulated.host);
    gpu->attribution = simulated.attribution;
    gpu->labels.emplace_back("DCGM_FI_DRIVER_VERSION", kSimulatedDriver);
    owned.gpu = std::move(gpu);
    owned.attribution_changes = simulated.attribution_changes;
  }

  static constexpr milliseconds kLargestSetBack{5'000};

  const SimulatorOptions options_;
  const Clock& clock_;
  const Shard part_;
  FleetModel fleet_;
  std::vector<OwnedGpu> owned_;
  std::array<const MetricDefinition*, kSimulatedMetrics> definitions_{};
  std::array<std::uint32_t, kSimulatedMetrics> metric_in_batch_{};
  SourceCounters counters_;

  std::uint64_t passes_ = 0;  // started
  Timestamp time_;            // of the pass
  Timestamp previous_time_;
  SteadyTime due_;
  std::size_t next_owned_ = 0;   // where the pass goes on
  std::size_t next_metric_ = 0;  // likewise, within the GPU

  // Of a source that is shared: positions are scrape times, in milliseconds.
  bool shared_ = false;
  ShardSelection selection_;
  std::size_t window_rows_ = 4096;
  std::size_t window_last_ = 0;  // the window's GPUs are before it
  bool in_window_ = false;
  WindowEnd window_end_;

  // For waiting; nothing else is shared between threads but the counters.
  std::mutex mutex_;
  std::condition_variable_any wake_;
};

Result<std::string> SimulatorSource::shared_name() {
  std::string name = "simulator:" + std::to_string(options_.gpus) + ":" +
                     std::to_string(options_.hosts) + ":" + std::to_string(options_.seed) + ":" +
                     std::to_string(options_.interval.count()) + ":" +
                     std::to_string(options_.mean_job_duration.count());
  if (options_.events) name += ":events";
  if (options_.unpaced) name += ":unpaced";
  if (options_.passes != 0) name += ":" + std::to_string(options_.passes);
  return name;
}

Result<void> SimulatorSource::select(const ShardSelection& selection, std::stop_token) {
  shared_ = true;
  in_window_ = false;
  selection_ = selection;
  own(selection.shards());
  std::ranges::stable_sort(owned_, {}, &OwnedGpu::shard);
  next_metric_ = 0;
  // The pass that was under way goes on for the shards that have not published it, unless the next
  // one should have begun long ago.
  const bool current =
      passes_ != 0 && (options_.unpaced || clock_.steady_now() < due_ + options_.interval);
  next_owned_ = current ? 0 : owned_.size();
  return {};
}

// Not when a process whose clock is a little ahead has published this time already. When it is
// ahead by more, the clock was set back here: better an overlap in time than silence for as long.
bool SimulatorSource::is_due(std::uint32_t shard) const {
  const std::uint64_t from = selection_.from[shard].value_or(0);
  return from <= position_of(time_) || from > position_of(time_ + kLargestSetBack);
}

// The next shards of the pass that are due, whole, with GPUs of about window_rows_ rows. None: the
// pass is over.
void SimulatorSource::begin_window() {
  const std::size_t gpus = std::max<std::size_t>(window_rows_ / kRegularMetrics, 1);
  while (next_owned_ < owned_.size() && !is_due(owned_[next_owned_].shard)) ++next_owned_;
  window_end_ = {};
  window_end_.position = position_of(time_) + 1;
  window_end_.finished = options_.passes != 0 && passes_ == options_.passes;
  for (window_last_ = next_owned_; window_last_ < owned_.size(); ++window_last_) {
    const std::uint32_t shard = owned_[window_last_].shard;
    if (contains(window_end_.shards, shard)) continue;
    if (window_last_ - next_owned_ >= gpus || !is_due(shard)) break;
    window_end_.shards |= ShardSet{1} << shard;
  }
  if (window_end_.finished && window_last_ == owned_.size()) {
    window_end_.shards = selection_.shards();
  }
}

Result<SourceState> SimulatorSource::next_of_window(TelemetryBatch& batch, std::size_t max_rows,
                                                    const std::stop_token& stop) {
  batch.clear();
  metric_in_batch_.fill(kNotInBatch);
  if (!in_window_) {
    if (stop.stop_requested()) return cancelled("the simulation was stopped");
    if (next_owned_ == owned_.size()) {
      if (options_.passes != 0 && passes_ == options_.passes) return SourceState::kEnd;
      if (const Result<void> started = start_pass(stop); !started) return started.error();
    }
    begin_window();
    in_window_ = true;
  }
  fill(batch, std::max<std::size_t>(max_rows, 1), window_last_);
  in_window_ = next_owned_ < window_last_;
  return in_window_ ? SourceState::kBatch : SourceState::kWindowEnd;
}

milliseconds SimulatorSource::until_settled() {
  if (options_.unpaced || passes_ == 0) return milliseconds{0};
  const milliseconds rest = time_ + milliseconds{1} - clock_.now();
  // Nobody waits for a clock that was set back.
  return rest > kLargestSetBack ? milliseconds{0} : std::max(milliseconds{0}, rest);
}

}  // namespace

Result<void> validate(const SimulatorOptions& options) {
  if (options.gpus == 0 || options.gpus > kMaxSimulatedGpus) {
    return invalid("gpus is " + std::to_string(options.gpus) + ": expected 1 to " +
                   std::to_string(kMaxSimulatedGpus));
  }
  if (options.hosts > options.gpus) {
    return invalid("hosts is " + std::to_string(options.hosts) +
                   ": expected at most one for each GPU, " + std::to_string(options.gpus) +
                   ", or 0 for 8 GPUs a host");
  }
  if (options.interval < milliseconds{0} || options.interval > kLongestInterval) {
    return invalid("interval is " + std::to_string(options.interval.count()) +
                   "ms: expected 0 to 24h");
  }
  if (options.mean_job_duration < kShortestJob || options.mean_job_duration > kLongestJob) {
    return invalid("mean job duration is " + std::to_string(options.mean_job_duration.count()) +
                   "ms: expected 3s to 30d");
  }
  return {};
}

Result<std::unique_ptr<Source>> make_simulator_source(const SimulatorOptions& options,
                                                      const Clock& clock, Shard shard) {
  if (auto valid = validate(options); !valid) return valid.error();
  return std::unique_ptr<Source>(std::make_unique<SimulatorSource>(options, clock, shard));
}

}  // namespace gpu_telemetry::sources
