#include "services/streamer/message_publisher.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <random>
#include <utility>

#include "concurrency/exception_text.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::LogLevel;
using std::chrono::milliseconds;
namespace {

constexpr milliseconds kFirstPause{5};
// Shorter than a service's Retry-After of 1 s, the least that it can say: a small queue would be
// empty by then. What is longer the queue's client keeps to.
constexpr milliseconds kShortestLimitFull{50};
constexpr milliseconds kLongestLimitFull{1000};
constexpr milliseconds kLongestPauseAway{2000};
constexpr milliseconds kPieceOfPause{100};

milliseconds with_jitter(milliseconds pause) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return pause + milliseconds{random() % static_cast<unsigned>(pause.count())};
}

Error error_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& error) {
    if (error.code() == asio::error::operation_aborted) {
      return cancelled("publishing was given up before the queue had answered");
    }
  } catch (...) {  // told below
  }
  return internal("publishing failed: " + concurrency::exception_text(thrown));
}

}  // namespace

milliseconds longest_pause(ErrorCode refusal, std::chrono::steady_clock::duration refused_for) {
  if (refusal != ErrorCode::kFull) return kLongestPauseAway;
  const auto grown = std::chrono::duration_cast<milliseconds>(refused_for) / 16;
  return std::clamp(grown, kShortestLimitFull, kLongestLimitFull);
}

MessagePublisher::MessagePublisher(std::string topic, queue::MessageQueue& queue,
                                   StreamerMetering& metering, asio::any_io_executor executor)
    : topic_(std::move(topic)),
      queue_(queue),
      metering_(metering),
      executor_(std::move(executor)) {}

void MessagePublisher::start(Publication publication, GiveUp give_up, Done done) {
  // A strand each, so that they do not wait for one another.
  const auto task = std::make_shared<Task>(asio::make_strand(executor_));
  {
    const concurrency::MutexLock lock(mutex_);
    under_way_.insert(task);
  }
  auto ended = [this, task, done = std::move(done)](const std::exception_ptr& thrown,
                                                    Result<void> published) {
    {
      const concurrency::MutexLock lock(mutex_);
      under_way_.erase(task);
    }
    done(thrown ? Result<void>(error_of(thrown)) : std::move(published));
  };
  task->start(publish(std::move(publication), std::move(give_up)), std::move(ended));
}

void MessagePublisher::cancel() {
  const concurrency::MutexLock lock(mutex_);
  for (const auto& task : under_way_) task->cancel();
}

asio::awaitable<Result<void>> MessagePublisher::publish(Publication publication, GiveUp give_up) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  std::optional<std::chrono::steady_clock::time_point> refused_since;
  for (milliseconds pause = kFirstPause;; pause *= 2) {
    std::vector<queue::OutgoingMessage> messages(publication.payloads.size());
    for (std::size_t i = 0; i < messages.size(); ++i) messages[i].payload = publication.payloads[i];
    auto progress = publication.progress;
    const auto published =
        co_await queue_.publish(topic_, std::move(messages), std::move(progress));
    if (published) {
      note_accepted(publication);
      co_return Result<void>();
    }
    const Error error = published.error();
    if (error.code != ErrorCode::kUnavailable && error.code != ErrorCode::kFull) co_return error;
    const auto now = std::chrono::steady_clock::now();
    if (!refused_since) refused_since = now;
    if (give_up(error, now - *refused_since)) co_return error;
    note_refusal(error);
    pause = std::min(pause, longest_pause(error.code, now - *refused_since));
    // In pieces, so that who wants them no more need not wait for the end of a long pause.
    for (milliseconds left = with_jitter(pause); left > milliseconds{0}; left -= kPieceOfPause) {
      timer.expires_after(std::min(left, kPieceOfPause));
      co_await timer.async_wait(asio::use_awaitable);
      const auto refused_for = std::chrono::steady_clock::now() - *refused_since;
      if (left > kPieceOfPause && give_up(error, refused_for)) co_return error;
    }
  }
}

void MessagePublisher::note_refusal(const Error& error) {
  metering_.refusals.Increment();
  if (error.code == ErrorCode::kUnavailable) {
    refusals_.log(LogLevel::kWarn, "queue client: publish refused, trying again",
                  {{"reason", error.message}});
  } else {
    refusals_.log(LogLevel::kInfo, "publish has to wait: the queue is full",
                  {{"reason", error.message}});
  }
}

void MessagePublisher::note_accepted(const Publication& publication) {
  metering_.messages.Increment(static_cast<double>(publication.payloads.size()));
  metering_.samples.Increment(static_cast<double>(publication.samples));
  if (publication.payloads.empty() || published_.exchange(true)) return;
  observability::log_info("publish: the queue has accepted the first messages",
                          {{"topic", topic_}, {"messages", publication.payloads.size()}});
}

}  // namespace gpu_telemetry::services
