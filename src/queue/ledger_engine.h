// A ledger that several threads share and that coroutines can wait on: the common part of the
// memory and durable engines.
//
// One short lock guards the ledger and the waiting fetches. A waiting fetch is woken when there are
// messages for it, looks again under the lock on its own executor, and only then leases: so a fetch
// that is cancelled while it waits leaves its messages ready, and its wake-up goes to the next.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "queue/fetch_waiters.h"
#include "queue/ledger.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

// Thread-safe. Held by shared_ptr, because a suspended fetch keeps it alive.
class LedgerEngine : public std::enable_shared_from_this<LedgerEngine> {
 public:
  // `clock` outlives the engine. `timers` runs a function of microseconds now and then.
  // `journal`: the ledger's, or null.
  LedgerEngine(Ledger ledger, const Clock& clock, boost::asio::any_io_executor timers,
               LedgerJournal* journal = nullptr);

  // Runs `work(Ledger&, Now)` under the lock and wakes the fetches that it has messages for.
  // Refuses with kUnavailable after shut_down.
  template <class Work>
  auto run(Work work) -> std::invoke_result_t<Work&, Ledger&, Now> {
    const std::lock_guard lock(mutex_);
    if (shut_down_) return shut_down_error();
    return run_locked(work);
  }
  // The same, also after shut_down; for what has no way to fail.
  template <class Work>
  auto run_always(Work work) -> std::invoke_result_t<Work&, Ledger&, Now> {
    const std::lock_guard lock(mutex_);
    return run_locked(work);
  }

  Async<Result<std::vector<Delivery>>> fetch(FetchRequest request);
  // `then` is called under the lock when the group was there.
  Result<void> delete_group(const std::string& topic, const std::string& group,
                            const std::function<void()>& then = {});
  void poke();
  // Ends waits and refuses what comes after. Idempotent.
  void shut_down();

 private:
  friend struct FetchPromise;
  struct StartWait;

  template <class Work>
  auto run_locked(Work& work) -> std::invoke_result_t<Work&, Ledger&, Now> {
    const Now now = read(clock_);
    if constexpr (std::is_void_v<std::invoke_result_t<Work&, Ledger&, Now>>) {
      work(ledger_, now);
      after_change(now);
    } else {
      auto result = work(ledger_, now);
      after_change(now);
      return result;
    }
  }

  static Error shut_down_error();
  // With the lock held.
  void after_change(Now now);
  void poke_locked();
  void wake_topic(std::string_view topic);
  void arm(SteadyTime now);
  void on_timer();
  void end_promise(const std::string& topic, const std::string& group, std::uint64_t promised);

  const Clock& clock_;
  LedgerJournal* const journal_;
  std::mutex mutex_;
  Ledger ledger_;
  FetchWaiters waiters_;
  boost::asio::steady_timer timer_;
  std::optional<SteadyTime> armed_for_;
  bool shut_down_ = false;
  std::atomic<std::uint64_t> next_ticket_{1};
};

}  // namespace gpu_telemetry::queue
