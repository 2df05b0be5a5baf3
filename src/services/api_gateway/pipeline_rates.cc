#include "services/api_gateway/pipeline_rates.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::chrono::seconds kKept{30};
// Questions that come faster tell nothing more.
constexpr std::chrono::milliseconds kLeastApart{500};

std::optional<double> rate(const std::optional<std::uint64_t>& before,
                           const std::optional<std::uint64_t>& now, double seconds) {
  if (!before || !now || *now < *before || seconds <= 0) return std::nullopt;
  return static_cast<double>(*now - *before) / seconds;
}

}  // namespace

PipelineRates PipelineHistory::add(const PipelineCounts& counts, SteadyTime now) {
  const concurrency::MutexLock lock(mutex_);
  while (entries_.size() > 1 && now - entries_[0].time > kKept) entries_.pop_front();
  PipelineRates rates;
  if (!entries_.empty()) {
    const Entry& first = entries_.front();
    const double seconds = std::chrono::duration<double>(now - first.time).count();
    rates.published = rate(first.counts.published, counts.published, seconds);
    rates.acked = rate(first.counts.acked, counts.acked, seconds);
    rates.stored = rate(first.counts.stored, counts.stored, seconds);
  }
  if (entries_.empty() || now - entries_.back().time >= kLeastApart) {
    entries_.push_back({now, counts});
  }
  return rates;
}

}  // namespace gpu_telemetry::services
