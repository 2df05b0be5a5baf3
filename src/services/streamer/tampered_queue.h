// A queue as one streamer sees it through a network that a test controls.
#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "queue/message_queue.h"

namespace gpu_telemetry::services::testing {

// Everything but tampering runs on the executor, which has one thread.
class TamperedQueue final : public queue::MessageQueue {
 public:
  TamperedQueue(queue::MessageQueue& behind, boost::asio::any_io_executor executor)
      : behind_(behind),
        executor_(std::move(executor)),
        wake_(std::make_shared<boost::asio::steady_timer>(
            executor_, std::chrono::steady_clock::time_point::max())) {}

  // Requests wait before they reach the queue, or go on.
  void hold(bool held) {
    held_ = held;
    boost::asio::post(executor_, [wake = wake_] { wake->cancel(); });
  }
  // Each publish takes so long to get there.
  void delay(std::chrono::microseconds by) { delay_ = by; }
  // Each answer about shards takes so long to come back.
  void delay_shards(std::chrono::microseconds by) { shards_delay_ = by; }
  // Answers of publishes never come back, until they are let go on.
  void hold_answers(bool held) {
    answers_held_ = held;
    boost::asio::post(executor_, [wake = wake_] { wake->cancel(); });
  }
  // Publishes whose answer is held.
  std::uint64_t unanswered() const { return unanswered_; }
  bool is_held() const { return held_; }
  // Nothing reaches the queue any more: the process is as good as dead.
  void cut() {
    cut_ = true;
    hold(false);
  }
  // Of every `nth` publish the answer is lost; 0: of none.
  void lose_answers(std::uint64_t nth) { lose_nth_ = nth; }

  std::uint64_t renewals() const { return renewals_; }
  std::uint64_t publishes() const { return publishes_; }
  // Refusals because a lease was lost, or a position was another.
  std::uint64_t conflicts() const { return conflicts_; }
  std::uint64_t messages() const { return messages_; }

  queue::Async<Result<std::vector<queue::PublishResult>>> publish(
      std::string topic, std::vector<queue::OutgoingMessage> messages,
      std::optional<queue::ShardProgress> progress) override {
    ++publishes_;
    const std::uint64_t number = publishes_;
    co_await pass();
    if (delay_ > std::chrono::microseconds{0}) {
      boost::asio::steady_timer timer(executor_, delay_);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    if (cut_) co_return unavailable("the network is cut");
    const std::size_t count = messages.size();
    auto published =
        co_await behind_.publish(std::move(topic), std::move(messages), std::move(progress));
    if (!published && published.error().code == ErrorCode::kConflict) ++conflicts_;
    if (published) messages_ += count;
    if (answers_held_) {
      ++unanswered_;
      co_await pass(answers_held_);
    }
    const std::uint64_t nth = lose_nth_;
    if (cut_ || (nth != 0 && number % nth == 0)) co_return unavailable("the answer was lost");
    co_return published;
  }
  queue::Async<Result<queue::ShardAssignment>> shards(queue::ShardRequest request) override {
    co_await pass();
    if (cut_) co_return unavailable("the network is cut");
    auto answer = co_await behind_.shards(std::move(request));
    ++renewals_;
    if (const auto by = shards_delay_.load(); by > std::chrono::microseconds{0}) {
      boost::asio::steady_timer timer(executor_, by);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    co_return answer;
  }

  queue::Async<Result<std::vector<queue::Delivery>>> fetch(queue::FetchRequest request) override {
    return behind_.fetch(std::move(request));
  }
  queue::Async<Result<std::vector<queue::Settled>>> ack(queue::SettleRequest request) override {
    return behind_.ack(std::move(request));
  }
  queue::Async<Result<std::vector<queue::Settled>>> nack(queue::SettleRequest request,
                                                         queue::NackOptions options) override {
    return behind_.nack(std::move(request), std::move(options));
  }
  queue::Async<Result<std::vector<queue::Settled>>> extend(
      queue::SettleRequest request, std::chrono::milliseconds visibility) override {
    return behind_.extend(std::move(request), visibility);
  }
  queue::Async<Result<std::vector<queue::TopicStatistics>>> statistics() override {
    return behind_.statistics();
  }
  queue::Async<Result<std::vector<queue::DeadLetter>>> dead_letters(std::string topic,
                                                                    std::string group,
                                                                    std::size_t max) override {
    return behind_.dead_letters(std::move(topic), std::move(group), max);
  }
  queue::Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                              std::vector<std::string> ids) override {
    return behind_.redrive(std::move(topic), std::move(group), std::move(ids));
  }
  queue::Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                            std::vector<std::string> ids) override {
    return behind_.purge(std::move(topic), std::move(group), std::move(ids));
  }
  queue::Async<Result<void>> delete_group(std::string topic, std::string group) override {
    return behind_.delete_group(std::move(topic), std::move(group));
  }
  void shut_down() override {}

 private:
  queue::Async<void> pass() { return pass(held_); }
  queue::Async<void> pass(const std::atomic<bool>& held) {
    while (held && !cut_) {
      boost::system::error_code woken;
      auto token = boost::asio::redirect_error(boost::asio::use_awaitable, woken);
      co_await wake_->async_wait(token);
    }
  }

  queue::MessageQueue& behind_;
  const boost::asio::any_io_executor executor_;
  const std::shared_ptr<boost::asio::steady_timer> wake_;
  std::chrono::microseconds delay_{0};
  std::atomic<std::chrono::microseconds> shards_delay_{std::chrono::microseconds{0}};
  std::atomic<bool> held_{false};
  std::atomic<bool> answers_held_{false};
  std::atomic<bool> cut_{false};
  std::atomic<std::uint64_t> lose_nth_{0};
  std::atomic<std::uint64_t> publishes_{0};
  std::atomic<std::uint64_t> unanswered_{0};
  std::atomic<std::uint64_t> renewals_{0};
  std::atomic<std::uint64_t> conflicts_{0};
  std::atomic<std::uint64_t> messages_{0};
};

}  // namespace gpu_telemetry::services::testing
