// Offers messages to the queue until it accepts them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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

class MessagePublisher {
 public:
  // Asked after each refusal that may pass, on the executor of publish(): true when nobody wants
  // the messages published any more. `refused_for`: how long they have been refused now.
  using GiveUp =
      std::function<bool(const Error& refusal, std::chrono::steady_clock::duration refused_for)>;

  // `queue` and `metering` outlive it.
  MessagePublisher(std::string topic, queue::MessageQueue& queue, StreamerMetering& metering);

  // A queue that is full or away is asked again, with growing pauses; any number of calls may be
  // under way. Errors: the last refusal (kFull, kUnavailable) when it was given up; others at once.
  boost::asio::awaitable<Result<void>> publish(Publication publication, GiveUp give_up);

 private:
  void note_refusal(const Error& error);
  void note_accepted(const Publication& publication);

  const std::string topic_;
  queue::MessageQueue& queue_;
  StreamerMetering& metering_;
  std::atomic<bool> published_{false};
  observability::LogLimiter refusals_;
};

}  // namespace gpu_telemetry::services
