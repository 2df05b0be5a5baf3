#include "services/collector/admission.h"

#include <algorithm>

namespace gpu_telemetry::services {
namespace {

using concurrency::MutexLock;

// How long an answer of storage holds: another collector may have stored what it did not have.
constexpr std::chrono::seconds kHolds{30};
constexpr std::size_t kMostNotStored = 100'000;
constexpr std::uint64_t kPage = 1'000;

// The batch without the refused GPUs and metrics; returns how many samples that took.
std::uint64_t take_out(const std::vector<bool>& refused_gpus,
                       const std::vector<bool>& refused_metrics, TelemetryBatch& batch) {
  TelemetryBatch kept;
  std::vector<std::uint32_t> gpu_places(batch.gpus.size());
  for (std::size_t i = 0; i < batch.gpus.size(); ++i) {
    gpu_places[i] = static_cast<std::uint32_t>(kept.gpus.size());
    if (!refused_gpus[i]) kept.gpus.push_back(batch.gpus[i]);
  }
  std::vector<std::uint32_t> metric_places(batch.metrics.size());
  for (std::size_t i = 0; i < batch.metrics.size(); ++i) {
    metric_places[i] = static_cast<std::uint32_t>(kept.metrics.size());
    if (!refused_metrics[i]) kept.metrics.push_back(batch.metrics[i]);
  }
  for (const Scrape& scrape : batch.scrapes) {
    if (refused_gpus[scrape.gpu]) continue;
    Scrape rest = scrape;
    rest.gpu = gpu_places[scrape.gpu];
    rest.first_sample = static_cast<std::uint32_t>(kept.samples.size());
    for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
      const Sample& sample = batch.samples[scrape.first_sample + i];
      if (refused_metrics[sample.metric]) continue;
      kept.samples.push_back({metric_places[sample.metric], sample.value});
    }
    rest.sample_count = static_cast<std::uint32_t>(kept.samples.size()) - rest.first_sample;
    if (rest.sample_count > 0) kept.scrapes.push_back(rest);
  }
  const std::uint64_t taken = batch.samples.size() - kept.samples.size();
  batch = std::move(kept);
  return taken;
}

}  // namespace

Admission::Admission(AdmissionLimits limits, storage::GpuRepository& gpus,
                     storage::TelemetryRepository& telemetry, const Clock& clock)
    : limits_(limits), gpus_(gpus), telemetry_(telemetry), clock_(clock) {}

bool Admission::knows_all(const TelemetryBatch& batch) {
  const MutexLock lock(mutex_);
  for (const GpuPointer& gpu : batch.gpus) {
    if (!gpus_known_.contains(gpu->uuid)) return false;
  }
  for (const std::string& name : batch.metrics) {
    if (!metrics_known_.contains(name)) return false;
  }
  return true;
}

bool Admission::knows(const GpuUuid& gpu) {
  const MutexLock lock(mutex_);
  return gpus_known_.contains(gpu);
}

bool Admission::knows(const std::string& metric) {
  const MutexLock lock(mutex_);
  return metrics_known_.contains(metric);
}

std::size_t Admission::known_gpus() {
  const MutexLock lock(mutex_);
  return gpus_known_.size();
}

std::size_t Admission::known_metrics() {
  const MutexLock lock(mutex_);
  return metrics_known_.size();
}

Result<std::optional<Refusal>> Admission::admit(TelemetryBatch& batch) {
  if (knows_all(batch)) return std::optional<Refusal>();
  const MutexLock lock(judging_);
  if (auto learned = learn_what_is_stored(); !learned) return learned.error();
  const auto gpus = refused_gpus(batch);
  if (!gpus) return gpus.error();
  const auto metrics = refused_metrics(batch);
  if (!metrics) return metrics.error();
  const auto gpu = std::find(gpus->begin(), gpus->end(), true);
  const auto metric = std::find(metrics->begin(), metrics->end(), true);
  std::string what;
  if (gpu != gpus->end()) {
    const auto place = static_cast<std::size_t>(gpu - gpus->begin());
    what = "GPU " + batch.gpus[place]->uuid.to_string() +
           " would pass MAX_GPUS=" + std::to_string(limits_.max_gpus);
  } else if (metric != metrics->end()) {
    const auto place = static_cast<std::size_t>(metric - metrics->begin());
    what = "metric " + batch.metrics[place] +
           " would pass MAX_METRICS=" + std::to_string(limits_.max_metrics);
  } else {
    return std::optional<Refusal>();
  }
  const std::uint64_t samples = take_out(*gpus, *metrics, batch);
  return std::optional<Refusal>({samples, what + "; " + std::to_string(samples) +
                                              " samples of this message are not stored, the "
                                              "others are: raise the limit and redrive it"});
}

Result<void> Admission::learn_what_is_stored() {
  if (learned_) return {};
  if (auto gpus = learn_gpus(); !gpus) return gpus;
  if (auto metrics = learn_metrics(); !metrics) return metrics;
  learned_ = true;
  return {};
}

Result<void> Admission::learn_gpus() {
  std::optional<GpuUuid> after;
  for (;;) {
    const auto page = gpus_.list({}, after, kPage);
    if (!page) return page.error();
    const MutexLock lock(mutex_);
    for (const GpuRecord& record : page->gpus) gpus_known_.insert(record.gpu.uuid);
    if (page->gpus.size() < kPage) return {};
    after = page->gpus.back().gpu.uuid;
  }
}

Result<void> Admission::learn_metrics() {
  auto names = telemetry_.metric_names();
  if (!names) return names.error();
  metrics_learned_at_ = clock_.steady_now();
  const MutexLock lock(mutex_);
  for (std::string& name : *names) metrics_known_.insert(std::move(name));
  return {};
}

Result<std::vector<bool>> Admission::refused_gpus(const TelemetryBatch& batch) {
  std::vector<bool> refused(batch.gpus.size());
  std::optional<std::uint64_t> stored;  // asked for only when there is an unknown one
  for (std::size_t i = 0; i < batch.gpus.size(); ++i) {
    const GpuUuid& uuid = batch.gpus[i]->uuid;
    if (knows(uuid)) continue;
    if (!stored) {
      const auto page = gpus_.list({}, std::nullopt, 1);
      if (!page) return page.error();
      stored = std::max<std::uint64_t>(page->total, known_gpus());
    }
    if (*stored < limits_.max_gpus) {
      ++*stored;
    } else {
      const auto found = is_stored(uuid);
      if (!found) return found.error();
      refused[i] = !*found;
    }
    if (refused[i]) continue;
    const MutexLock lock(mutex_);
    gpus_known_.insert(uuid);
  }
  return refused;
}

Result<bool> Admission::is_stored(const GpuUuid& gpu) {
  const SteadyTime now = clock_.steady_now();
  if (now - not_stored_since_ >= kHolds || not_stored_.size() > kMostNotStored) {
    not_stored_.clear();
    not_stored_since_ = now;
  }
  if (not_stored_.contains(gpu)) return false;
  const auto found = gpus_.find(gpu);
  if (found) return true;
  if (found.error().code != ErrorCode::kNotFound) return found.error();
  not_stored_.insert(gpu);
  return false;
}

Result<std::vector<bool>> Admission::refused_metrics(const TelemetryBatch& batch) {
  std::vector<bool> refused(batch.metrics.size());
  for (std::size_t i = 0; i < batch.metrics.size(); ++i) {
    const std::string& name = batch.metrics[i];
    if (knows(name)) continue;
    if (clock_.steady_now() - metrics_learned_at_ >= kHolds) {
      if (auto learned = learn_metrics(); !learned) return learned.error();
      if (knows(name)) continue;
    }
    refused[i] = known_metrics() >= limits_.max_metrics;
    if (refused[i]) continue;
    const MutexLock lock(mutex_);
    metrics_known_.insert(name);
  }
  return refused;
}

}  // namespace gpu_telemetry::services
