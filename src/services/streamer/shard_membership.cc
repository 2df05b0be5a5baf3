#include "services/streamer/shard_membership.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "concurrency/exception_text.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::LogLevel;
using std::chrono::milliseconds;
namespace {

constexpr milliseconds kLongestRenewal{2'000};
// While shards are due to this member, or only others have something to read.
constexpr milliseconds kQuickRenewal{500};
constexpr milliseconds kFirstRetry{20};
constexpr milliseconds kLongestRetry{1'000};

milliseconds renewal_of(const ShardMembershipOptions& options) {
  if (options.renewal > milliseconds{0}) return options.renewal;
  return std::clamp(options.lease / 3, milliseconds{1}, kLongestRenewal);
}

}  // namespace

ShardMembership::ShardMembership(ShardMembershipOptions options, queue::MessageQueue& queue,
                                 ShardMetering& metering, asio::any_io_executor executor)
    : options_(std::move(options)),
      queue_(queue),
      metering_(metering),
      strand_(asio::make_strand(std::move(executor))),
      timer_(strand_),
      calls_(std::make_shared<concurrency::CancellableTask<Strand>>(strand_)) {}

void ShardMembership::start(std::function<void()> on_change) {
  {
    const std::lock_guard lock(mutex_);
    on_change_ = std::move(on_change);
    running_ = true;
  }
  // Whatever ends the calls, a stop or a defect: nobody waits for them in vain.
  calls_->start(run(), [self = shared_from_this()](const std::exception_ptr& thrown) {
    const std::lock_guard lock(self->mutex_);
    if (thrown && !self->stopping_) {
      self->failure_ = internal("the leases of shards cannot be renewed: " +
                                concurrency::exception_text(thrown));
    }
    self->running_ = false;
    self->changed_.notify_all();
  });
}

asio::awaitable<void> ShardMembership::run() {
  queue::ShardRequest request;
  while (next_request(request)) {
    const auto answer = co_await queue_.shards(request);
    const bool answered = take_answer(answer);
    const milliseconds pause = pause_after(answered);
    if (pause == milliseconds{0}) continue;
    timer_.expires_after(pause);
    boost::system::error_code cut_short;
    auto token = asio::redirect_error(asio::use_awaitable, cut_short);
    co_await timer_.async_wait(token);
  }
}

// False: there is none any more.
bool ShardMembership::next_request(queue::ShardRequest& request) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || failure_) return false;
  request.topic = options_.topic;
  request.source = options_.source;
  request.member = options_.member;
  request.ttl = options_.lease;
  request.leave = leaving_;
  said_goodbye_ = leaving_;
  asking_ = asked_;
  if (asking_ == answered_) {
    giving_back_.clear();
  } else if (giving_back_.empty()) {
    // Chosen once: the answer may be lost, and the repetition must give back the same ones.
    giving_back_ = holdings_.choose(surplus_);
  }
  request.give_back = giving_back_;
  return true;
}

// False: the queue is away or full, and the same has to be asked again.
bool ShardMembership::take_answer(const Result<queue::ShardAssignment>& answer) {
  const std::lock_guard lock(mutex_);
  if (!answer) {
    const Error& error = answer.error();
    const bool passing = error.code == ErrorCode::kFull || error.code == ErrorCode::kUnavailable;
    if (!passing && !leaving_) failure_ = error;
    troubles_.log(LogLevel::kWarn, "queue client: the lease of shards could not be renewed",
                  {{"source", options_.source}, {"reason", error.message}});
    changed_.notify_all();
    return false;
  }
  if (said_goodbye_) {
    stopping_ = true;
    joined_ = false;
    holdings_ = {};
    metering_.held.Set(0);
  } else {
    take_assignment(*answer);
  }
  answered_ = asking_;
  changed_.notify_all();
  return true;
}

void ShardMembership::take_assignment(const queue::ShardAssignment& assignment) {
  const bool asked = asking_ != answered_;
  const ShardHoldings::Change change = holdings_.take(assignment, asked);
  const std::size_t given_back = asked ? giving_back_.size() : 0;
  giving_back_.clear();
  const std::uint32_t lost =
      change.ended - std::min(change.ended, static_cast<std::uint32_t>(given_back));
  const bool news = change.any() || asked || (assignment.surplus > 0 && surplus_ == 0);
  surplus_ = assignment.surplus;
  // Somebody began the source anew while this one slept past its end: it has no reader for that.
  if (finished_ && !assignment.finished) leaving_ = true;
  finished_ = assignment.finished;
  metering_.held.Set(static_cast<double>(holdings_.size()));
  metering_.lost.Increment(lost);
  if (lost > 0) {
    observability::log_warn(
        "queue client: leases of shards ended; what was read of them and not published is dropped",
        {{"source", options_.source}, {"lost", lost}});
  }
  if (change.any() || members_ != assignment.members) {
    observability::log_info(joined_ ? "queue client: the shards of the source were moved"
                                    : "queue client: joined those who share the source",
                            {{"source", options_.source},
                             {"member", options_.member},
                             {"members", assignment.members},
                             {"shards", holdings_.size()}});
  }
  if (change.any() && joined_) metering_.rebalances.Increment();
  members_ = assignment.members;
  joined_ = true;
  if (!news) return;
  ++number_;
  if (on_change_) on_change_();
}

milliseconds ShardMembership::pause_after(bool answered) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || failure_) return milliseconds{0};
  if (!answered) {
    retry_pause_ = std::clamp(2 * retry_pause_, kFirstRetry, kLongestRetry);
    return retry_pause_;
  }
  retry_pause_ = milliseconds{0};
  if (asked_ != answered_ || leaving_) return milliseconds{0};
  const milliseconds renewal = renewal_of(options_);
  const std::size_t share = queue::kShards / std::max(members_, 1U);
  const bool waiting = !finished_ && (holdings_.size() < share || !holdings_.has_work());
  return waiting ? std::min(renewal, kQuickRenewal) : renewal;
}

void ShardMembership::kick() {
  asio::post(strand_, [self = shared_from_this()] { self->timer_.cancel(); });
}

ShardMembership::Task ShardMembership::wait_for_task(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const auto task = [this]() -> std::optional<Task> {
    if (failure_) return Task::kFailed;
    if (!joined_) return std::nullopt;
    if (finished_) return Task::kEnd;
    if (surplus_ > 0 && holdings_.size() > 0) return Task::kGiveBack;
    if (holdings_.has_work()) return Task::kRead;
    return std::nullopt;
  };
  changed_.wait(lock, stop, [&] { return task().has_value(); });
  return stop.stop_requested() ? Task::kStopped : *task();
}

Error ShardMembership::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_.value_or(Error{});
}

std::uint64_t ShardMembership::selection(sources::ShardSelection& selection) const {
  const std::lock_guard lock(mutex_);
  selection = holdings_.selection();
  return number_;
}

bool ShardMembership::has_changed(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return number_ != number || surplus_ > 0 || failure_.has_value();
}

std::vector<queue::ShardStep> ShardMembership::steps(const sources::WindowEnd& window) const {
  const std::lock_guard lock(mutex_);
  return holdings_.steps(window);
}

void ShardMembership::advance(std::span<const queue::ShardStep> steps) {
  bool kick_now;
  {
    const std::lock_guard lock(mutex_);
    holdings_.advance(steps);
    // Whether the others have finished too is worth knowing soon.
    kick_now = !holdings_.has_work();
    changed_.notify_all();
  }
  if (kick_now) kick();
}

void ShardMembership::ask(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!running_) return;
  const std::uint64_t mine = ++asked_;
  kick();
  changed_.wait(lock, stop, [&] { return answered_ >= mine || !running_ || failure_; });
}

void ShardMembership::leave(milliseconds longest) {
  std::unique_lock lock(mutex_);
  if (!running_ || longest <= milliseconds{0}) return;
  leaving_ = true;
  kick();
  changed_.wait_for(lock, longest, [this] { return !running_; });
}

void ShardMembership::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  calls_->cancel();
  changed_.wait(lock, [this] { return !running_; });
}

}  // namespace gpu_telemetry::services
