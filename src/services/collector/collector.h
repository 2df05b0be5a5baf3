// Takes messages from the queue, stores what is in them, and only then acknowledges them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "domain/batch_codec.h"
#include "domain/clock.h"
#include "observability/log.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"
#include "services/collector/admission.h"
#include "services/collector/gpu_tracker.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// How many samples the collectors of this process have stored, repeated ones included.
prometheus::Counter& samples_stored(observability::Metrics& metrics);

struct CollectorOptions {
  std::string topic = "telemetry";
  std::string group = "collectors";
  std::string consumer = "collector";
  std::size_t batch_messages = 1;  // messages in one write, at most
  std::size_t max_concurrent_writes = 10;
  // How long a write waits for more messages when it has fewer than batch_messages.
  std::chrono::milliseconds linger{5};
  // The queue's visibility timeout: leases of a slow write are extended before it ends.
  std::chrono::milliseconds visibility_timeout = std::chrono::minutes{5};
  // Before fetching again after storage or the queue refused; doubled up to 64 times, with jitter.
  std::chrono::milliseconds first_pause{100};
  std::chrono::milliseconds gpu_refresh = std::chrono::seconds{10};  // see GpuTracker
  AdmissionLimits limits;
};

// Fetching and acknowledging run on one executor that runs one thing at a time (an io_context with
// one thread, or a strand); decoding and storing on a pool of `max_concurrent_writes` threads.
//
//  - A message that cannot be decoded, or that storage finds invalid, goes to the dead letters at
//    once, with the reason; its neighbours in the write are stored.
//  - Of a message with GPUs or metrics past the limits the rest is stored; then it goes to the dead
//    letters, from where all of it can be stored when the limits are raised (see Admission).
//  - When storage refuses for any other reason (away, full, damaged), messages are handed back
//    uncounted, and fetching pauses, with growing and jittered pauses, until a write succeeds.
//  - stop() ends fetching, lets writes in flight end and be acknowledged, and hands the rest back.
class Collector {
 public:
  // Everything passed by reference outlives the collector.
  Collector(CollectorOptions options, queue::MessageQueue& queue,
            storage::TelemetryRepository& telemetry, storage::GpuRepository& gpus,
            const BatchCodec& codec, const Clock& clock, observability::Metrics& metrics,
            boost::asio::any_io_executor executor);
  // stop() has returned true, or start() was never called, or the executor runs nothing any more.
  ~Collector();

  void start();
  // Blocks until everything is settled, but no longer than `grace`; not on the executor's thread.
  // Returns whether it ended in time.
  bool stop(std::chrono::milliseconds grace);

 private:
  struct Metering;
  struct Work;     // messages of one write
  struct Outcome;  // what became of them
  struct Writes;   // what of them is written

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> pause_fetching();
  boost::asio::awaitable<std::vector<queue::Delivery>> gather();
  boost::asio::awaitable<std::vector<queue::Delivery>> fetch(std::size_t max,
                                                             std::chrono::milliseconds wait);
  void dispatch(std::vector<queue::Delivery> messages);
  boost::asio::awaitable<void> handle(std::list<Work>::iterator work);
  boost::asio::awaitable<void> settle(const Outcome& outcome);
  boost::asio::awaitable<void> bury(const Outcome& outcome);
  boost::asio::awaitable<void> extend_leases();
  boost::asio::awaitable<void> write_sightings();
  queue::SettleRequest request_for(std::vector<std::string> receipts) const;
  Outcome store(const Work& work);
  Result<void> write(std::span<const TelemetryBatch> batches, const Writes& writes);
  void write_one_by_one(const Writes& writes, Outcome& outcome);

  const CollectorOptions options_;
  queue::MessageQueue& queue_;
  storage::TelemetryRepository& telemetry_;
  storage::GpuRepository& gpus_;
  const BatchCodec& codec_;
  const std::unique_ptr<Metering> metering_;
  const boost::asio::any_io_executor executor_;
  Admission admission_;
  GpuTracker tracker_;
  boost::asio::thread_pool pool_;
  observability::LogLimiter storage_refusals_;
  observability::LogLimiter queue_refusals_;
  observability::LogLimiter bad_messages_;

  // Touched on the executor only.
  bool stopping_ = false;
  unsigned periodic_ = 0;  // of extend_leases() and write_sightings(), how many run
  std::list<Work> in_flight_;
  bool storage_refuses_ = false;  // the last write was refused
  bool consumes_ = false;
  bool queue_refuses_ = false;  // the last fetch was
  unsigned pauses_ = 0;         // in a row, each longer than the one before
  boost::asio::cancellation_signal stop_fetching_;
  boost::asio::steady_timer work_ended_;  // never expires; cancelled when a write or a periodic has
  boost::asio::steady_timer pause_;
  boost::asio::steady_timer extend_due_;
  boost::asio::steady_timer sightings_due_;

  std::promise<void> ended_;
  bool started_ = false;
};

}  // namespace gpu_telemetry::services
