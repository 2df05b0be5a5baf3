#include "observability/health.h"

#include <algorithm>
#include <utility>

#include "observability/log.h"

namespace gpu_telemetry::observability {
namespace {

constexpr std::string_view kStarting = "starting";

}  // namespace

bool Health::all_ok() const {
  return std::ranges::all_of(conditions_, [](const auto& entry) { return entry.second.ok; });
}

void Health::expect(std::string_view name) {
  const concurrency::MutexLock lock(mutex_);
  conditions_.try_emplace(std::string(name), Condition{false, std::string(kStarting)});
}

void Health::set_ok(std::string_view name, std::string_view remark) {
  {
    const concurrency::MutexLock lock(mutex_);
    Condition& condition = conditions_[std::string(name)];
    condition.reason = remark;
    if (std::exchange(condition.ok, true)) return;
  }
  log_info("check passes", {{"check", name}});
}

void Health::set_failed(std::string_view name, std::string_view reason) {
  {
    const concurrency::MutexLock lock(mutex_);
    Condition& condition = conditions_[std::string(name)];
    if (!condition.ok && condition.reason == reason) return;
    condition.ok = false;
    condition.reason = reason;
  }
  log_warn("check fails", {{"check", name}, {"reason", reason}});
}

void Health::start_draining() {
  const concurrency::MutexLock lock(mutex_);
  draining_ = true;
}

bool Health::draining() const {
  const concurrency::MutexLock lock(mutex_);
  return draining_;
}

bool Health::ready() const {
  const concurrency::MutexLock lock(mutex_);
  return !draining_ && all_ok();
}

Health::State Health::state() const {
  const concurrency::MutexLock lock(mutex_);
  State state;
  state.draining = draining_;
  state.ready = !draining_ && all_ok();
  for (const auto& [name, condition] : conditions_) {
    state.checks.push_back({name, condition.ok, condition.reason});
  }
  return state;
}

}  // namespace gpu_telemetry::observability
