// Deadlines of many connections, kept coarsely: setting one is a store or a few pointers, and one
// timer serves them all.
#pragma once

#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstddef>
#include <vector>

#include "domain/clock.h"

namespace gpu_telemetry::http {

// Used by one thread. A deadline is reached up to one tick late, never early.
class DeadlineWheel {
 private:
  using Hook =
      boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

 public:
  // What has a deadline. Destroying it takes it off its wheel.
  class Entry : public Hook {
   public:
    virtual ~Entry() = default;
    // The deadline has passed; it is cleared before.
    virtual void on_deadline() = 0;

   private:
    friend class DeadlineWheel;
    SteadyTime deadline_ = SteadyTime::max();
    SteadyTime looked_at_ = SteadyTime::max();  // when the wheel next sees it, while it is linked
  };

  DeadlineWheel(SteadyTime start, std::chrono::nanoseconds tick);
  DeadlineWheel(const DeadlineWheel&) = delete;
  DeadlineWheel& operator=(const DeadlineWheel&) = delete;
  ~DeadlineWheel();

  // Replaces the entry's deadline. Later than before costs nothing: the wheel finds out when it
  // reaches the earlier place.
  void set(Entry& entry, SteadyTime deadline);
  static void clear(Entry& entry) { entry.deadline_ = SteadyTime::max(); }

  // Calls on_deadline() of all whose deadline is not after `now`, and returns when to call again.
  SteadyTime tick(SteadyTime now);

 private:
  using Slot = boost::intrusive::list<Entry, boost::intrusive::constant_time_size<false>>;

  void place(Entry& entry);

  const std::chrono::nanoseconds tick_;
  SteadyTime reached_;  // every slot up to here is done; a whole number of ticks after the start
  std::size_t position_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace gpu_telemetry::http
