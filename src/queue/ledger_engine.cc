#include "queue/ledger_engine.h"

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace gpu_telemetry::queue {

namespace asio = boost::asio;

// What a fetch was woken for. When it is destroyed unused (the fetch was cancelled meanwhile, or
// its coroutine is gone), others are woken in its place.
struct FetchPromise {
  Wake why = Wake::kLook;
  std::shared_ptr<LedgerEngine> engine;
  std::string topic;
  std::string group;
  std::uint64_t promised = 0;

  FetchPromise() = default;
  FetchPromise(Wake reason, std::shared_ptr<LedgerEngine> owner, std::string topic_name,
               std::string group_name, std::uint64_t count)
      : why(reason),
        engine(std::move(owner)),
        topic(std::move(topic_name)),
        group(std::move(group_name)),
        promised(count) {}
  FetchPromise(FetchPromise&& other) noexcept
      : why(other.why),
        engine(std::move(other.engine)),
        topic(std::move(other.topic)),
        group(std::move(other.group)),
        promised(std::exchange(other.promised, 0)) {}
  FetchPromise& operator=(FetchPromise&&) = delete;
  ~FetchPromise() {
    if (promised == 0) return;
    const std::lock_guard lock(engine->mutex_);
    end();
    engine->wake_topic(topic);
  }
  // With the engine's lock held.
  void end() { engine->waiters_.promise_ended(topic, group, std::exchange(promised, 0)); }
};

namespace {

template <class Handler>
class SuspendedFetch final : public FetchWaiter {
 public:
  SuspendedFetch(Handler handler, std::shared_ptr<LedgerEngine> engine, const FetchRequest& request)
      : executor_(asio::prefer(asio::get_associated_executor(handler),
                               asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)),
        engine_(std::move(engine)),
        topic_(request.topic),
        group_(request.group) {}

  void resume(Wake why, std::uint64_t promised) override {
    FetchPromise promise(why, std::move(engine_), std::move(topic_), std::move(group_), promised);
    auto run = [handler = std::move(handler_), promise = std::move(promise)]() mutable {
      std::move(handler)(std::move(promise));
    };
    asio::post(executor_, std::move(run));
  }

 private:
  using Executor =
      std::decay_t<decltype(asio::prefer(asio::get_associated_executor(std::declval<Handler&>()),
                                         asio::execution::outstanding_work.tracked))>;
  Executor executor_;
  Handler handler_;
  std::shared_ptr<LedgerEngine> engine_;
  std::string topic_;
  std::string group_;
};

}  // namespace

struct LedgerEngine::StartWait {
  std::shared_ptr<LedgerEngine> engine;
  const FetchRequest* request;
  std::uint64_t ticket;
  SteadyTime deadline;

  template <class Handler>
  void operator()(Handler handler) {
    // The slot first: once the waiter is registered, another thread may resume the coroutine.
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([weak = std::weak_ptr(engine), ticket = ticket](asio::cancellation_type) {
        const auto owner = weak.lock();
        if (!owner) return;
        const std::lock_guard lock(owner->mutex_);
        if (auto waiter = owner->waiters_.remove(ticket)) waiter->resume(Wake::kCancelled, 0);
      });
    }
    auto waiter = std::make_unique<SuspendedFetch<Handler>>(std::move(handler), engine, *request);
    const std::lock_guard lock(engine->mutex_);
    if (engine->shut_down_) {
      waiter->resume(Wake::kShutDown, 0);
      return;
    }
    engine->waiters_.add(ticket, request->topic, request->group, request->max_messages, deadline,
                         std::move(waiter));
    engine->after_change(read(engine->clock_));
  }
};

LedgerEngine::LedgerEngine(Ledger ledger, const Clock& clock, asio::any_io_executor timers,
                           LedgerJournal* journal)
    : clock_(clock), journal_(journal), ledger_(std::move(ledger)), timer_(std::move(timers)) {}

Error LedgerEngine::shut_down_error() { return unavailable("the queue is shutting down"); }

Async<Result<std::vector<Delivery>>> LedgerEngine::fetch(FetchRequest request) {
  const auto look = [&request](Ledger& ledger, Now now) { return ledger.fetch(now, request); };
  Result<std::vector<Delivery>> found = run(look);
  if (!found || !found->empty() || request.wait.count() == 0) co_return found;

  const SteadyTime deadline = clock_.steady_now() + request.wait;
  const std::uint64_t ticket = next_ticket_.fetch_add(1);
  for (;;) {
    StartWait start{shared_from_this(), &request, ticket, deadline};
    FetchPromise promise =
        co_await asio::async_initiate<const asio::use_awaitable_t<>, void(FetchPromise)>(
            std::move(start), asio::use_awaitable);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (promise.why == Wake::kCancelled ||
        cancellation.cancelled() != asio::cancellation_type::none) {
      co_return cancelled("the fetch was cancelled while it waited");
    }
    if (promise.why == Wake::kShutDown) co_return shut_down_error();
    const auto look_again = [&request, &promise](Ledger& ledger, Now now) {
      if (promise.promised > 0) promise.end();
      return ledger.fetch(now, request);
    };
    found = run(look_again);
    if (!found || !found->empty() || promise.why == Wake::kTimedOut) co_return found;
  }
}

Result<void> LedgerEngine::delete_group(const std::string& topic, const std::string& group,
                                        const std::function<void()>& then) {
  return run([&](Ledger& ledger, Now now) {
    auto deleted = ledger.delete_group(now, topic, group);
    // Who waits creates it again, as a fetch that comes now would.
    if (deleted) waiters_.wake_group(topic, group, Wake::kLook);
    if (deleted && then) then();
    return deleted;
  });
}

// --- with the lock held

void LedgerEngine::wake_topic(std::string_view topic) {
  waiters_.wake(topic, [&](std::string_view group) { return ledger_.ready(topic, group); });
}

void LedgerEngine::after_change(Now now) {
  if (journal_) journal_->end_of_changes();
  if (!waiters_.empty()) {
    std::vector<std::string> topics;
    waiters_.for_each_topic([&](std::string_view topic) { topics.emplace_back(topic); });
    for (const std::string& topic : topics) wake_topic(topic);
  }
  arm(now.steady);
}

void LedgerEngine::poke_locked() {
  const Now now = read(clock_);
  waiters_.for_each_group(
      [&](std::string_view topic, std::string_view group) { ledger_.touch(now, topic, group); });
  ledger_.tick(now);
  waiters_.wake_timed_out(now.steady);
  after_change(now);
}

void LedgerEngine::arm(SteadyTime now) {
  auto next = ledger_.next_deadline();
  if (const auto waiting = waiters_.next_deadline(); waiting && (!next || *waiting < *next)) {
    next = waiting;
  }
  if (shut_down_ || !next || (armed_for_ && *armed_for_ <= *next)) return;
  armed_for_ = next;
  // Rounded up, so that what is due is due when the timer says so.
  timer_.expires_after(std::max(*next - now, SteadyTime::duration::zero()) +
                       std::chrono::microseconds{50});
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    if (error) return;
    if (const auto self = weak.lock()) self->on_timer();
  });
}

// --- without

void LedgerEngine::on_timer() {
  const std::lock_guard lock(mutex_);
  armed_for_.reset();
  if (!shut_down_) poke_locked();
}

void LedgerEngine::poke() {
  const std::lock_guard lock(mutex_);
  if (!shut_down_) poke_locked();
}

void LedgerEngine::shut_down() {
  const std::lock_guard lock(mutex_);
  shut_down_ = true;
  waiters_.wake_all(Wake::kShutDown);
  timer_.cancel();
}

}  // namespace gpu_telemetry::queue
