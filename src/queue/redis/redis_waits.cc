#include "queue/redis/redis_waits.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace gpu_telemetry::queue {

namespace asio = boost::asio;

template <class Handler>
class RedisWaits::Suspended final : public Waiter {
 public:
  explicit Suspended(Handler handler) : resume_(std::move(handler)) {}
  void resume(RedisWake why) override { resume_(why); }

 private:
  redis_detail::Resume<Handler, RedisWake> resume_;
};

RedisWaits::RedisWaits(const Clock& clock, asio::any_io_executor timers)
    : clock_(clock), timer_(std::move(timers)) {}

std::atomic<std::uint64_t>& RedisWaits::generation_of(std::string_view topic) {
  return generations_[std::hash<std::string_view>{}(topic) % generations_.size()];
}

std::uint64_t RedisWaits::generation(std::string_view topic) const {
  return const_cast<RedisWaits*>(this)->generation_of(topic).load();
}

asio::awaitable<RedisWake> RedisWaits::wait(Wait wait) {
  auto start = [this, &wait](auto handler) {
    using Handler = decltype(handler);
    // The slot first: once the waiter is registered, another thread may resume the coroutine.
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([weak = weak_from_this(), ticket = wait.ticket](asio::cancellation_type) {
        if (const auto self = weak.lock()) self->cancel(ticket);
      });
    }
    add(wait, std::make_unique<Suspended<Handler>>(std::move(handler)));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(RedisWake)>(
      std::move(start), asio::use_awaitable);
}

void RedisWaits::add(const Wait& wait, std::unique_ptr<Waiter> waiter) {
  const std::lock_guard lock(mutex_);
  if (shut_down_) return waiter->resume(RedisWake::kShutDown);
  if (generation(wait.topic) != wait.seen) return waiter->resume(RedisWake::kLook);
  const std::string topic(wait.topic);
  const std::string group(wait.group);
  Entry& entry = entries_[wait.ticket];
  entry = {topic, group, wait.max_messages, wait.until, std::move(waiter)};
  topics_[topic][group].emplace(wait.ticket, &entry);
  arm();
}

void RedisWaits::cancel(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  if (entries_.count(ticket) != 0) wake(ticket, RedisWake::kCancelled);
}

void RedisWaits::wake(std::uint64_t ticket, RedisWake why) {
  const auto found = entries_.find(ticket);
  Entry entry = std::move(found->second);
  entries_.erase(found);
  const auto topic = topics_.find(entry.topic);
  const auto group = topic->second.find(entry.group);
  group->second.erase(ticket);
  if (group->second.empty()) topic->second.erase(group);
  if (topic->second.empty()) topics_.erase(topic);
  entry.waiter->resume(why);
}

void RedisWaits::ready(std::string_view topic, std::uint64_t messages,
                       std::chrono::milliseconds delay) {
  const std::lock_guard lock(mutex_);
  ++generation_of(topic);
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  std::vector<std::uint64_t> woken;
  const SteadyTime due = clock_.steady_now() + delay;
  for (auto& [name, tickets] : found->second) {
    std::uint64_t left = messages;
    for (auto& [ticket, entry] : tickets) {
      if (delay.count() > 0) {
        entry->until = std::min(entry->until, due);
        continue;
      }
      if (left == 0) break;
      left -= std::min(left, entry->max_messages);
      woken.push_back(ticket);
    }
  }
  for (const std::uint64_t ticket : woken) wake(ticket, RedisWake::kLook);
  if (delay.count() > 0) arm();
}

void RedisWaits::wake_all(RedisWake why) {
  for (auto& generation : generations_) ++generation;
  while (!entries_.empty()) wake(entries_.begin()->first, why);
}

void RedisWaits::look_again() {
  const std::lock_guard lock(mutex_);
  wake_all(RedisWake::kLook);
}

void RedisWaits::shut_down() {
  const std::lock_guard lock(mutex_);
  shut_down_ = true;
  wake_all(RedisWake::kShutDown);
  timer_.cancel();
}

void RedisWaits::arm() {
  if (shut_down_ || entries_.empty()) return;
  SteadyTime next = SteadyTime::max();
  for (const auto& [ticket, entry] : entries_) next = std::min(next, entry.until);
  if (armed_for_ && *armed_for_ <= next) return;
  armed_for_ = next;
  // Rounded up, so that what is due is due when the timer says so.
  timer_.expires_after(std::max(next - clock_.steady_now(), SteadyTime::duration::zero()) +
                       std::chrono::microseconds{200});
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    if (error) return;
    if (const auto self = weak.lock()) self->on_timer();
  });
}

void RedisWaits::on_timer() {
  const std::lock_guard lock(mutex_);
  armed_for_.reset();
  if (shut_down_) return;
  const SteadyTime now = clock_.steady_now();
  std::vector<std::uint64_t> due;
  for (const auto& [ticket, entry] : entries_) {
    if (entry.until <= now) due.push_back(ticket);
  }
  for (const std::uint64_t ticket : due) wake(ticket, RedisWake::kLook);
  arm();
}

}  // namespace gpu_telemetry::queue
