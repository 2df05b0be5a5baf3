// Offers messages to the queue until it accepts them.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "concurrency/cancellable_task.h"
#include "concurrency/thread_annotations.h"
#include "observability/log.h"
#include "queue/message_queue.h"
#include "services/streamer/streamer_metering.h"

namespace gpu_telemetry::services {

// The content of one publish call.
struct Publication {
  std::vector<queue::Payload> payloads;
  std::uint64_t samples = 0;  // in all of them
  std::optional<queue::ShardProgress> progress;
};

// The longest pause before the queue is offered again what it has refused for `refused_for`, jitter
// not counted. A queue that is full for moments never runs dry for it; one that stays full, because
// a disk is or because nobody takes anything, is not asked forty times a second.
std::chrono::milliseconds longest_pause(ErrorCode refusal,
                                        std::chrono::steady_clock::duration refused_for);

// Thread-safe.
class MessagePublisher {
 public:
  // Asked after each refusal that may pass, on the executor: true when nobody wants the messages
  // published any more. `refused_for`: how long they have been refused now.
  using GiveUp =
      std::function<bool(const Error& refusal, std::chrono::steady_clock::duration refused_for)>;
  // Called once, on the executor.
  using Done = std::function<void(Result<void> published)>;

  // `queue`, `metering` and the executor's context, which has one thread, outlive it, and it
  // whatever is under way.
  MessagePublisher(std::string topic, queue::MessageQueue& queue, StreamerMetering& metering,
                   boost::asio::any_io_executor executor);

  // Begins to publish; any number may be under way. A queue that is full or away is asked again,
  // with growing pauses. Errors: the last refusal (kFull, kUnavailable) when it was given up;
  // kCancelled; others at once.
  void start(Publication publication, GiveUp give_up, Done done);

  // Waits for no answer any more: what is under way ends at once, if not published with an error,
  // and nobody knows whether the queue has accepted that.
  void cancel();

 private:
  using Strand = boost::asio::strand<boost::asio::any_io_executor>;
  using Task = concurrency::CancellableTask<Strand>;

  boost::asio::awaitable<Result<void>> publish(Publication publication, GiveUp give_up);
  void note_refusal(const Error& error);
  void note_accepted(const Publication& publication);

  const std::string topic_;
  queue::MessageQueue& queue_;
  StreamerMetering& metering_;
  const boost::asio::any_io_executor executor_;
  std::atomic<bool> published_{false};
  observability::LogLimiter refusals_;
  concurrency::Mutex mutex_;
  std::unordered_set<std::shared_ptr<Task>> under_way_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

}  // namespace gpu_telemetry::services
