// Streams a source that other streamers read too, so that each row is published once, whoever of
// them comes, goes, dies or freezes.
//
// The rows of one window are published in one call together with how far that moves their shards:
// the queue accepts both or neither, and only from who holds the leases. So one publish is under
// way at a time, while the next window is read and encoded. Whenever the shards change, what was
// read and not accepted is dropped, and reading goes on where the queue says that each shard was
// published to.
#pragma once

#include <boost/asio/any_io_executor.hpp>
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

#include "domain/batch_codec.h"
#include "services/streamer/message_publisher.h"
#include "services/streamer/shard_membership.h"
#include "sources/shareable_source.h"
#include "sources/source.h"

namespace gpu_telemetry::services {

struct SharedStreamingOptions {
  std::size_t batch_rows = 100;
  std::chrono::milliseconds interval{100};
  ShardMembershipOptions membership;  // `source` is filled in
};

// How many rows a window has at most. With a pause between messages a window is one message.
// Without, it is as many as hide the queue's latency.
std::size_t window_rows(std::size_t batch_rows, std::chrono::milliseconds interval);

class SharedStreaming {
 public:
  using OnAccepted = std::function<void(std::uint64_t messages, std::uint64_t samples)>;

  // `on_accepted` runs on the executor when the queue has accepted a window. `source` can be
  // shared; it and all others outlive this.
  SharedStreaming(SharedStreamingOptions options, sources::Source& source,
                  queue::MessageQueue& queue, const BatchCodec& codec, StreamerMetering& metering,
                  observability::Metrics& metrics, boost::asio::any_io_executor executor,
                  OnAccepted on_accepted);
  // Stops without grace when it was not stopped.
  ~SharedStreaming();

  // Reads and publishes until every shard of the source is finished, by this streamer or others.
  // Once. Errors: kCancelled when `stop` was requested; of the source; of the queue, when it will
  // never accept what it was asked.
  Result<void> run(std::stop_token stop);

  // After run(): lets the window that is being published be accepted or refused, and gives the
  // shards back, so that others go on at once; a refused window is theirs then. Takes about `grace`
  // at most, also when the queue does not answer: whether it has accepted the window, the position
  // of the shards says to whoever gets them. Without any grace
  // the shards stay leased for the rest of the lease. Idempotent.
  void stop(std::chrono::milliseconds grace);

 private:
  struct Window {
    Publication publication;
    sources::WindowEnd end;
    bool source_ended = false;  // there is no window any more
  };

  Result<void> read_shards(const std::stop_token& stop);
  Result<void> read_windows(std::uint64_t number, const std::stop_token& stop,
                            const std::stop_token& interrupt);
  Result<Window> read_window(const std::stop_token& interrupt);
  // What became of the window that was being published; success when there was none, or at `stop`.
  Result<void> wait_for_publish(const std::stop_token& stop);
  void publish_in_background(Window window, std::uint64_t number);
  bool give_up_on(const Error& refusal, std::chrono::steady_clock::duration refused_for,
                  std::uint64_t number);
  void adapt_window(const Result<void>& published);
  void pause(const std::stop_token& interrupt);
  bool end_publishing(std::chrono::steady_clock::time_point deadline);
  void give_back(const std::stop_token& stop);
  void settle(const std::stop_token& stop, std::chrono::milliseconds longest);

  const SharedStreamingOptions options_;
  sources::Source& source_;
  sources::ShareableSource& shared_;
  queue::MessageQueue& queue_;
  const BatchCodec& codec_;
  const boost::asio::any_io_executor executor_;
  const OnAccepted on_accepted_;
  MessagePublisher publisher_;
  ShardMetering shard_metering_;
  std::shared_ptr<ShardMembership> membership_;  // from run() on
  std::string source_name_;
  const std::size_t full_window_;

  // Of the reading thread.
  TelemetryBatch batch_;
  std::size_t window_rows_;
  std::size_t smooth_publishes_ = 0;  // in a row, that were not refused
  std::size_t smooth_publishes_to_grow_ = 1;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  // All guarded by mutex_.
  std::stop_source interrupt_;           // of the reader, when the shards change
  bool publishing_ = false;              // a window
  bool abandoned_ = false;               // what is not accepted now is given up
  bool may_shrink_ = false;              // the window has more than one message
  bool refused_ = false;                 // the window was, at least once
  bool too_large_ = false;               // and so long that a smaller one should be tried
  std::optional<Result<void>> outcome_;  // of the last window, until it is looked at
};

}  // namespace gpu_telemetry::services
