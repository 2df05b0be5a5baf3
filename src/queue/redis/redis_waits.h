// The fetches of this process that wait for messages in Redis.
//
// Every process hears of every message that becomes ready (a channel of Redis), and wakes as many
// of its own fetches as the messages may suffice for. Who was woken looks in Redis, and waits again
// when others were faster. Nothing depends on hearing: a wait also ends when a lease or a delay is
// over, and after some seconds in any case.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "domain/clock.h"
#include "queue/redis/redis_connection.h"

namespace gpu_telemetry::queue {

enum class RedisWake { kLook, kShutDown, kCancelled };

// Thread-safe. Held by shared_ptr.
class RedisWaits : public std::enable_shared_from_this<RedisWaits> {
 public:
  RedisWaits(const Clock& clock, boost::asio::any_io_executor timers);

  std::uint64_t new_ticket() { return next_ticket_.fetch_add(1); }
  // Changes when there may be something new to see in the topic. Read before looking.
  std::uint64_t generation(std::string_view topic) const;

  struct Wait {
    std::uint64_t ticket = 0;  // of two fetches of a group the lower is woken first
    std::string_view topic;
    std::string_view group;
    std::uint64_t max_messages = 1;
    std::uint64_t seen = 0;  // generation() before the look that found nothing
    SteadyTime until;
  };
  // Ends at once when the generation has changed. Cancellable.
  boost::asio::awaitable<RedisWake> wait(Wait wait);

  // `messages` became ready, in each group of the topic, or will be `delay` from now.
  void ready(std::string_view topic, std::uint64_t messages, std::chrono::milliseconds delay);
  // Everybody looks again: the connection was made anew, or time has moved.
  void look_again();
  // Ends all waits, and those to come.
  void shut_down();

 private:
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void resume(RedisWake why) = 0;
  };
  template <class Handler>
  class Suspended;
  struct Entry {
    std::string topic;
    std::string group;
    std::uint64_t max_messages = 1;
    SteadyTime until;
    std::unique_ptr<Waiter> waiter;
  };
  // By group, then in the order of tickets.
  using Tickets = std::map<std::string, std::map<std::uint64_t, Entry*>, std::less<>>;

  void add(const Wait& wait, std::unique_ptr<Waiter> waiter);
  void cancel(std::uint64_t ticket);
  // With the lock held.
  void wake(std::uint64_t ticket, RedisWake why);
  void wake_all(RedisWake why);
  void arm();
  void on_timer();
  std::atomic<std::uint64_t>& generation_of(std::string_view topic);

  const Clock& clock_;
  std::atomic<std::uint64_t> next_ticket_{1};
  // One for the topics of a hash each.
  std::array<std::atomic<std::uint64_t>, 256> generations_{};
  std::mutex mutex_;
  std::map<std::uint64_t, Entry> entries_;
  std::map<std::string, Tickets, std::less<>> topics_;
  boost::asio::steady_timer timer_;
  std::optional<SteadyTime> armed_for_;
  bool shut_down_ = false;
};

}  // namespace gpu_telemetry::queue
