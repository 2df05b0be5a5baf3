// The fetches that wait for messages, in the order in which they came. Guarded by the lock of the
// engine that owns it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "domain/clock.h"

namespace gpu_telemetry::queue {

enum class Wake { kLook, kTimedOut, kShutDown, kCancelled };

// One suspended fetch. `resume` is called once and posts to the fetch's executor; it never runs the
// fetch itself.
class FetchWaiter {
 public:
  virtual ~FetchWaiter() = default;
  // `promised`: how many messages it was woken for.
  virtual void resume(Wake why, std::uint64_t promised) = 0;
};

class FetchWaiters {
 public:
  // Tickets are served in ascending order; a fetch that found nothing comes back with its own.
  void add(std::uint64_t ticket, std::string_view topic, std::string_view group,
           std::uint64_t max_messages, SteadyTime deadline, std::unique_ptr<FetchWaiter> waiter);
  // Null when no such fetch waits (it was woken already).
  std::unique_ptr<FetchWaiter> remove(std::uint64_t ticket);

  // Wakes as many fetches of the topic as `ready(group)` messages suffice for, those counted that
  // were promised to fetches woken before.
  void wake(std::string_view topic,
            const std::function<std::uint64_t(std::string_view group)>& ready);
  // A woken fetch has looked, or never will.
  void promise_ended(std::string_view topic, std::string_view group, std::uint64_t promised);

  // Wakes all of a group, of the past deadlines, or all.
  void wake_group(std::string_view topic, std::string_view group, Wake why);
  void wake_timed_out(SteadyTime now);
  void wake_all(Wake why);

  bool empty() const { return by_ticket_.empty(); }
  std::optional<SteadyTime> next_deadline() const;
  void for_each_group(
      const std::function<void(std::string_view topic, std::string_view group)>& visit) const;
  void for_each_topic(const std::function<void(std::string_view topic)>& visit) const;

 private:
  struct Group {
    std::set<std::uint64_t> tickets;
    std::uint64_t promised = 0;
  };
  using Groups = std::map<std::string, Group, std::less<>>;
  struct Entry {
    std::string topic;
    std::string group;
    std::uint64_t max_messages = 0;
    SteadyTime deadline;
    std::unique_ptr<FetchWaiter> waiter;
  };

  Group* find(std::string_view topic, std::string_view group);
  void drop_if_unused(std::string_view topic, std::string_view group);
  void wake_one(std::uint64_t ticket, Wake why);

  std::map<std::string, Groups, std::less<>> topics_;
  std::map<std::uint64_t, Entry> by_ticket_;
  std::set<std::pair<SteadyTime, std::uint64_t>> by_deadline_;
};

}  // namespace gpu_telemetry::queue
