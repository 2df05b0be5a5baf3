#include "queue/fetch_waiters.h"

#include <vector>

namespace gpu_telemetry::queue {

void FetchWaiters::add(std::uint64_t ticket, std::string_view topic, std::string_view group,
                       std::uint64_t max_messages, SteadyTime deadline,
                       std::unique_ptr<FetchWaiter> waiter) {
  topics_[std::string(topic)][std::string(group)].tickets.insert(ticket);
  by_deadline_.emplace(deadline, ticket);
  by_ticket_.emplace(ticket, Entry{std::string(topic), std::string(group), max_messages, deadline,
                                   std::move(waiter)});
}

FetchWaiters::Group* FetchWaiters::find(std::string_view topic, std::string_view group) {
  const auto groups = topics_.find(topic);
  if (groups == topics_.end()) return nullptr;
  const auto found = groups->second.find(group);
  return found == groups->second.end() ? nullptr : &found->second;
}

void FetchWaiters::drop_if_unused(std::string_view topic, std::string_view group) {
  const auto groups = topics_.find(topic);
  if (groups == topics_.end()) return;
  const auto found = groups->second.find(group);
  if (found == groups->second.end()) return;
  if (!found->second.tickets.empty() || found->second.promised > 0) return;
  groups->second.erase(found);
  if (groups->second.empty()) topics_.erase(groups);
}

std::unique_ptr<FetchWaiter> FetchWaiters::remove(std::uint64_t ticket) {
  const auto found = by_ticket_.find(ticket);
  if (found == by_ticket_.end()) return nullptr;
  Entry entry = std::move(found->second);
  by_ticket_.erase(found);
  by_deadline_.erase({entry.deadline, ticket});
  find(entry.topic, entry.group)->tickets.erase(ticket);
  drop_if_unused(entry.topic, entry.group);
  return std::move(entry.waiter);
}

void FetchWaiters::wake(std::string_view topic,
                        const std::function<std::uint64_t(std::string_view group)>& ready) {
  const auto groups = topics_.find(topic);
  if (groups == topics_.end()) return;
  for (auto& [name, group] : groups->second) {
    if (group.tickets.empty()) continue;
    const std::uint64_t available = ready(name);
    while (!group.tickets.empty() && available > group.promised) {
      const std::uint64_t ticket = *group.tickets.begin();
      const auto found = by_ticket_.find(ticket);
      // Counted before the ticket goes, so that the group stays.
      const std::uint64_t promised = found->second.max_messages;
      group.promised += promised;
      remove(ticket)->resume(Wake::kLook, promised);
    }
  }
}

void FetchWaiters::promise_ended(std::string_view topic, std::string_view group,
                                 std::uint64_t promised) {
  if (promised == 0) return;
  if (Group* found = find(topic, group)) found->promised -= promised;
  drop_if_unused(topic, group);
}

void FetchWaiters::wake_one(std::uint64_t ticket, Wake why) { remove(ticket)->resume(why, 0); }

void FetchWaiters::wake_group(std::string_view topic, std::string_view group, Wake why) {
  const Group* found = find(topic, group);
  if (found == nullptr) return;
  const std::vector<std::uint64_t> tickets(found->tickets.begin(), found->tickets.end());
  for (const std::uint64_t ticket : tickets) wake_one(ticket, why);
}

void FetchWaiters::wake_timed_out(SteadyTime now) {
  while (!by_deadline_.empty() && by_deadline_.begin()->first <= now) {
    wake_one(by_deadline_.begin()->second, Wake::kTimedOut);
  }
}

void FetchWaiters::wake_all(Wake why) {
  while (!by_ticket_.empty()) wake_one(by_ticket_.begin()->first, why);
}

std::optional<SteadyTime> FetchWaiters::next_deadline() const {
  if (by_deadline_.empty()) return std::nullopt;
  return by_deadline_.begin()->first;
}

void FetchWaiters::for_each_group(
    const std::function<void(std::string_view topic, std::string_view group)>& visit) const {
  for (const auto& [topic, groups] : topics_) {
    for (const auto& [group, waiting] : groups) visit(topic, group);
  }
}

void FetchWaiters::for_each_topic(const std::function<void(std::string_view topic)>& visit) const {
  for (const auto& [topic, groups] : topics_) visit(topic);
}

}  // namespace gpu_telemetry::queue
