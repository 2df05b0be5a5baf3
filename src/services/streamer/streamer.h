// Reads a source and publishes what it says, batch by batch, as fast as the queue takes it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "domain/batch_codec.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"
#include "services/streamer/message_publisher.h"
#include "services/streamer/shared_streaming.h"
#include "services/streamer/streamer_metering.h"
#include "sources/source.h"

namespace gpu_telemetry::services {

struct StreamerOptions {
  std::string topic = "telemetry";
  std::size_t batch_rows = 100;  // rows of the source in one message, at most
  // Pause after each message; zero for none.
  std::chrono::milliseconds interval{100};
  // Messages that may wait for the queue's answer at once. More hides the queue's latency; scrapes
  // of different messages may then be stored out of order, which storage does not mind.
  std::size_t publishes_in_flight = 128;

  // Positive: the source is shared with other streamers, each of which reads some shards that the
  // queue leases to it for so long; when it is not heard of, others take them over. A source that
  // can be read only once is read as it is.
  std::chrono::milliseconds shard_lease{0};
  // Between two renewals of the leases; zero for a third of them, at most 2 s.
  std::chrono::milliseconds shard_renewal{0};
  // This streamer's name among those who share, which no other may have; empty: one is made.
  std::string member;
};

// What a streamer has done so far.
struct StreamerCounts {
  std::uint64_t messages_published = 0;
  std::uint64_t samples_published = 0;
};

// The source is read on a thread of its own; publishing runs on the executor. A queue that is full
// or away slows the streamer down and loses nothing: each message is offered again, with growing
// pauses, until it is accepted. How a shared source is streamed is said in shared_streaming.h; it
// ends when every shard has, and until it is stopped the streamer stays a member, so that one that
// comes late does not begin anew.
class Streamer {
 public:
  // `queue`, `codec`, `metrics` and the executor's context outlive the streamer.
  Streamer(StreamerOptions options, std::unique_ptr<sources::Source> source,
           queue::MessageQueue& queue, const BatchCodec& codec, observability::Metrics& metrics,
           boost::asio::any_io_executor executor);
  // Stops without grace when still running; the executor's context must be running until then.
  ~Streamer();

  // `on_end` runs once on the streamer's thread, when the source has ended for good (or has failed)
  // and every message is accepted. Not called when it was stopped before.
  void start(std::function<void(Result<void>)> on_end = {});

  // Stops reading, then waits up to `grace` for messages that the queue has not accepted yet, and
  // for a queue that does not answer no longer. Says in the log how many were given up. Of a shared
  // source nothing is: what was not accepted is left to others, and the shards are given back,
  // unless `grace` is zero. Idempotent.
  void stop(std::chrono::milliseconds grace);

  StreamerCounts counts() const;
  const sources::SourceCounters& source_counters() const { return source_->counters(); }

 private:
  void run(std::stop_token stop, const std::function<void(Result<void>)>& on_end);
  Result<void> stream(std::stop_token stop);
  void publish_in_background(queue::Payload payload, std::uint64_t samples);
  void count(std::uint64_t messages, std::uint64_t samples);
  void log_end(const Result<void>& ended) const;

  const StreamerOptions options_;
  const std::unique_ptr<sources::Source> source_;
  const BatchCodec& codec_;
  StreamerMetering metering_;
  MessagePublisher publisher_;
  std::unique_ptr<SharedStreaming> shared_;  // null: the source is not shared

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::size_t in_flight_ = 0;     // guarded by mutex_
  bool abandoned_ = false;        // guarded by mutex_: what is not accepted now is given up
  Result<void> publish_failure_;  // guarded by mutex_: the queue will never accept a message
  StreamerCounts counts_;         // guarded by mutex_
  std::jthread thread_;
};

}  // namespace gpu_telemetry::services
