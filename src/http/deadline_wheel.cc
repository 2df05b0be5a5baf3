#include "http/deadline_wheel.h"

#include <algorithm>

namespace gpu_telemetry::http {
namespace {

// With ticks of a quarter of a second, two minutes: an idle connection is looked at once.
constexpr std::size_t kSlots = 512;

}  // namespace

DeadlineWheel::DeadlineWheel(SteadyTime start, std::chrono::nanoseconds tick)
    : tick_(std::max(tick, std::chrono::nanoseconds{1})), reached_(start), slots_(kSlots) {}

DeadlineWheel::~DeadlineWheel() {
  for (Slot& slot : slots_) slot.clear();
}

void DeadlineWheel::set(Entry& entry, SteadyTime deadline) {
  entry.deadline_ = deadline;
  if (entry.is_linked()) {
    if (entry.looked_at_ <= deadline) return;
    entry.unlink();
  }
  place(entry);
}

void DeadlineWheel::place(Entry& entry) {
  // The first tick that is not before the deadline; at least the next one, at most a whole turn.
  std::size_t ticks = kSlots - 1;
  if (entry.deadline_ < reached_ + tick_ * static_cast<std::int64_t>(kSlots - 1)) {
    const auto ahead = std::max(entry.deadline_ - reached_, tick_);
    ticks = static_cast<std::size_t>((ahead + tick_ - std::chrono::nanoseconds{1}) / tick_);
  }
  entry.looked_at_ = reached_ + tick_ * static_cast<std::int64_t>(ticks);
  slots_[(position_ + ticks) % kSlots].push_back(entry);
}

SteadyTime DeadlineWheel::tick(SteadyTime now) {
  while (reached_ + tick_ <= now) {
    reached_ += tick_;
    position_ = (position_ + 1) % kSlots;
    Slot due;
    due.swap(slots_[position_]);
    while (!due.empty()) {
      Entry& entry = due.front();
      due.pop_front();
      if (entry.deadline_ <= reached_) {
        entry.deadline_ = SteadyTime::max();
        entry.on_deadline();
      } else if (entry.deadline_ != SteadyTime::max()) {
        place(entry);
      }
    }
  }
  return reached_ + tick_;
}

}  // namespace gpu_telemetry::http
