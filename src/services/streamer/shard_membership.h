// A streamer's membership of those who share a source: joins, renews, gives back and leaves.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "concurrency/cancellable_task.h"
#include "observability/log.h"
#include "queue/message_queue.h"
#include "services/streamer/shard_holdings.h"
#include "services/streamer/streamer_metering.h"

namespace gpu_telemetry::services {

struct ShardMembershipOptions {
  std::string topic;
  std::string source;
  std::string member;  // no other process has the same
  // How long a streamer that is not heard of keeps its shards. Shorter: others take them over
  // sooner when it dies, and a longer pause of its machine or network costs it its shards.
  std::chrono::milliseconds lease{15'000};
  // Between two calls; zero for a third of the lease, at most 2 s.
  std::chrono::milliseconds renewal{0};
};

// Thread-safe. One coroutine makes all calls, one after the other, on the executor.
class ShardMembership : public std::enable_shared_from_this<ShardMembership> {
 public:
  // `queue`, `metering` and the executor's context outlive it.
  ShardMembership(ShardMembershipOptions options, queue::MessageQueue& queue,
                  ShardMetering& metering, boost::asio::any_io_executor executor);

  // Begins to join. Once. `on_change` runs when shards came or went, or when others wait for some;
  // under the lock: it must not call back.
  void start(std::function<void()> on_change);

  // What there is to do for the reader.
  enum class Task {
    kRead,      // unfinished shards are held
    kGiveBack,  // others wait for shards
    kEnd,       // every shard of the source is finished
    kStopped,
    kFailed,  // see failure()
  };
  Task wait_for_task(std::stop_token stop);
  Error failure() const;

  // What to read, and the number of this state of affairs.
  std::uint64_t selection(sources::ShardSelection& selection) const;
  // Whether something has changed since that number that a reader has to take note of.
  bool has_changed(std::uint64_t number) const;

  std::vector<queue::ShardStep> steps(const sources::WindowEnd& window) const;
  void advance(std::span<const queue::ShardStep> steps);

  // Gives back what others wait for, if anything, and takes all positions as the queue has them.
  // Only while no publish is under way. Blocks until the queue has answered or `stop`.
  void ask(std::stop_token stop);

  // Gives everything back; waits for the queue's answer at most so long.
  void leave(std::chrono::milliseconds longest);
  // Makes no more calls, and waits for the answer of none. Without leave() the shards stay leased
  // until the lease ends.
  void stop();

 private:
  using Strand = boost::asio::strand<boost::asio::any_io_executor>;

  boost::asio::awaitable<void> run();
  bool next_request(queue::ShardRequest& request);
  bool take_answer(const Result<queue::ShardAssignment>& answer);
  void take_assignment(const queue::ShardAssignment& assignment);
  std::chrono::milliseconds pause_after(bool answered);
  void kick();

  const ShardMembershipOptions options_;
  queue::MessageQueue& queue_;
  ShardMetering& metering_;
  const Strand strand_;
  boost::asio::steady_timer timer_;  // used on the strand
  const std::shared_ptr<concurrency::CancellableTask<Strand>> calls_;
  observability::LogLimiter troubles_;

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::function<void()> on_change_;
  // All guarded by mutex_.
  ShardHoldings holdings_;
  std::uint64_t number_ = 0;  // counts changes
  std::uint32_t surplus_ = 0;
  std::uint32_t members_ = 0;
  bool joined_ = false;
  bool finished_ = false;
  bool leaving_ = false;
  bool said_goodbye_ = false;  // in the request that was sent last
  bool stopping_ = false;
  bool running_ = false;
  std::uint64_t asked_ = 0;     // calls of ask() so far
  std::uint64_t asking_ = 0;    // that the request under way answers
  std::uint64_t answered_ = 0;  // that were answered
  std::vector<std::uint32_t> giving_back_;
  std::chrono::milliseconds retry_pause_{0};
  std::optional<Error> failure_;
};

}  // namespace gpu_telemetry::services
