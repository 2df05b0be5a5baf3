#include "queue/ledger_group.h"

#include <algorithm>
#include <functional>

namespace gpu_telemetry::queue {
namespace {

constexpr std::size_t kSweepFrom = 64;  // smaller heaps are not worth a sweep
constexpr std::size_t kMaxConsumersSeen = 1'000;

}  // namespace

void LedgerGroup::set_state(GroupEntry& entry, EntryState state) {
  --counts_[static_cast<std::size_t>(entry.state)];
  ++counts_[static_cast<std::size_t>(state)];
  entry.state = state;
}

GroupEntry& LedgerGroup::add_to_lease(std::uint64_t sequence) {
  GroupEntry entry;
  entry.sequence = sequence;
  ++counts_[static_cast<std::size_t>(EntryState::kReady)];
  return entries_.push_back(entry);
}

GroupEntry& LedgerGroup::add_ready(std::uint64_t sequence) {
  ready_.push_back(sequence);
  std::push_heap(ready_.begin(), ready_.end(), std::greater<>());
  return add_to_lease(sequence);
}

GroupEntry* LedgerGroup::first_ready() {
  while (!ready_.empty()) {
    GroupEntry* entry = entries_.find(ready_.front());
    if (entry != nullptr && entry->state == EntryState::kReady) return entry;
    std::pop_heap(ready_.begin(), ready_.end(), std::greater<>());
    ready_.pop_back();
  }
  return nullptr;
}

void LedgerGroup::lease(GroupEntry& entry, SteadyTime due, std::uint64_t stamp) {
  set_state(entry, EntryState::kLeased);
  entry.expired = false;
  entry.due = due;
  entry.stamp = stamp;
  ++entry.count;
  push_due(entry);
}

void LedgerGroup::extend(GroupEntry& entry, SteadyTime due) {
  if (entry.due == due) return;
  entry.due = due;
  push_due(entry);
}

void LedgerGroup::make_ready(GroupEntry& entry, bool expired) {
  if (entry.state == EntryState::kDead) forget_death(entry);
  set_state(entry, EntryState::kReady);
  entry.expired = expired;
  ready_.push_back(entry.sequence);
  std::push_heap(ready_.begin(), ready_.end(), std::greater<>());
}

void LedgerGroup::delay(GroupEntry& entry, SteadyTime due) {
  set_state(entry, EntryState::kDelayed);
  entry.due = due;
  push_due(entry);
}

void LedgerGroup::bury(GroupEntry& entry, DeathRecord record) {
  set_state(entry, EntryState::kDead);
  entry.stamp = next_death_++;
  dead_bytes_ += record.bytes;
  deaths_.emplace(entry.stamp, std::move(record));
}

void LedgerGroup::forget_death(GroupEntry& entry) {
  const auto death = deaths_.find(entry.stamp);
  dead_bytes_ -= death->second.bytes;
  deaths_.erase(death);
}

void LedgerGroup::settle(GroupEntry& entry) {
  if (entry.state == EntryState::kDead) forget_death(entry);
  --counts_[static_cast<std::size_t>(entry.state)];
  entries_.erase(entry);
}

void LedgerGroup::put_back(GroupEntry entry, DeathRecord death) {
  ++counts_[static_cast<std::size_t>(entry.state)];
  if (entry.state == EntryState::kReady) {
    ready_.push_back(entry.sequence);
    std::push_heap(ready_.begin(), ready_.end(), std::greater<>());
  } else if (entry.state == EntryState::kDead) {
    dead_bytes_ += death.bytes;
    next_death_ = std::max(next_death_, entry.stamp + 1);
    deaths_.emplace(entry.stamp, std::move(death));
  }
  const GroupEntry& stored = entries_.push_back(entry);
  if (entry.state == EntryState::kLeased || entry.state == EntryState::kDelayed) push_due(stored);
}

bool LedgerGroup::is_current(const Due& due) {
  const GroupEntry* entry = entries_.find(due.sequence);
  return entry != nullptr && entry->due == due.due &&
         (entry->state == EntryState::kLeased || entry->state == EntryState::kDelayed);
}

void LedgerGroup::push_due(const GroupEntry& entry) {
  const std::uint64_t current = count(EntryState::kLeased) + count(EntryState::kDelayed);
  if (due_.size() > kSweepFrom && due_.size() > 2 * current) {
    std::erase_if(due_, [this](const Due& due) { return !is_current(due); });
    std::make_heap(due_.begin(), due_.end(), std::greater<>());
  }
  due_.push_back({entry.due, entry.sequence});
  std::push_heap(due_.begin(), due_.end(), std::greater<>());
}

std::optional<SteadyTime> LedgerGroup::next_due() {
  while (!due_.empty() && !is_current(due_.front())) {
    std::pop_heap(due_.begin(), due_.end(), std::greater<>());
    due_.pop_back();
  }
  if (due_.empty()) return std::nullopt;
  return due_.front().due;
}

GroupEntry* LedgerGroup::first_due(SteadyTime now) {
  const auto due = next_due();
  return due && *due <= now ? entries_.find(due_.front().sequence) : nullptr;
}

void LedgerGroup::saw_consumer(const std::string& consumer, SteadyTime now) {
  const auto known = consumers_.find(consumer);
  if (known != consumers_.end()) {
    known->second = now;
    return;
  }
  if (consumers_.size() >= kMaxConsumersSeen) consumers_since(now - std::chrono::minutes{1});
  if (consumers_.size() < kMaxConsumersSeen) consumers_.emplace(consumer, now);
}

std::uint64_t LedgerGroup::consumers_since(SteadyTime since) {
  std::erase_if(consumers_, [since](const auto& each) { return each.second <= since; });
  return consumers_.size();
}

}  // namespace gpu_telemetry::queue
