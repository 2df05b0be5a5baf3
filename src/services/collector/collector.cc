#include "services/collector/collector.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iterator>
#include <random>
#include <utility>

#include "concurrency/async_offload.h"
#include "concurrency/spawn.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::LogLevel;
using std::chrono::milliseconds;
namespace {

// Waits for the timer to expire or to be cancelled, which is no error here.
asio::awaitable<void> wait_on(asio::steady_timer& timer) {
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

// Whether storage refuses these messages and would refuse them always. Whatever else goes wrong is
// storage's own trouble, and the messages wait until it is over.
bool is_refused(const Result<void>& written) {
  return !written && written.error().code == ErrorCode::kInvalid;
}

}  // namespace

prometheus::Counter& samples_stored(observability::Metrics& metrics) {
  return metrics.counter("gpu_telemetry_samples_stored_total",
                         "Samples that storage has confirmed");
}

struct Collector::Metering {
  explicit Metering(observability::Metrics& metrics)
      : samples(samples_stored(metrics)),
        acknowledged(messages(metrics, "acknowledged")),
        refused(metrics.counter("gpu_telemetry_samples_refused_total",
                                "Samples that MAX_GPUS or MAX_METRICS kept out of storage")),
        dead(messages(metrics, "dead_letter")),
        returned(messages(metrics, "returned")),
        write_seconds(metrics.histogram("gpu_telemetry_write_duration_seconds",
                                        "Time to decode and store the messages of one write",
                                        observability::latency_buckets())) {}

  static prometheus::Counter& messages(observability::Metrics& metrics, const char* result) {
    return metrics.counter("gpu_telemetry_messages_collected_total",
                           "Messages taken from the queue, by what became of them",
                           {{"result", result}});
  }

  prometheus::Counter& samples;
  prometheus::Counter& acknowledged;
  prometheus::Counter& refused;
  prometheus::Counter& dead;
  prometheus::Counter& returned;
  prometheus::Histogram& write_seconds;
};

struct Collector::Work {
  std::vector<queue::Delivery> messages;
  std::vector<std::string> receipts;  // of `messages`
};

struct Collector::Outcome {
  struct Hopeless {
    std::string receipt;
    std::string reason;
  };
  std::vector<std::string> good;   // receipts
  std::vector<Hopeless> hopeless;  // no part, or not every part of them can be stored
  Result<void> written;            // the good ones
  std::uint64_t samples = 0;       // that storage has
};

// What is to be written, message by message.
struct Collector::Writes {
  std::vector<storage::BatchToWrite> batches;
  std::vector<std::string> receipts;
  std::vector<std::string> refusals;  // why a part is left out; empty: all of it is in the batch

  // What became of message i.
  void end(std::size_t i, const Result<void>& written, Outcome& outcome) const {
    if (is_refused(written)) {
      outcome.hopeless.push_back({receipts[i], written.error().message});
      return;
    }
    if (written) outcome.samples += batches[i].batch->samples.size();
    if (written && !refusals[i].empty()) {
      outcome.hopeless.push_back({receipts[i], refusals[i]});
    } else {
      outcome.good.push_back(receipts[i]);
    }
    if (!written) outcome.written = written;
  }
};

Collector::Collector(CollectorOptions options, queue::MessageQueue& queue,
                     storage::TelemetryRepository& telemetry, storage::GpuRepository& gpus,
                     const BatchCodec& codec, const Clock& clock, observability::Metrics& metrics,
                     asio::any_io_executor executor)
    : options_(std::move(options)),
      queue_(queue),
      telemetry_(telemetry),
      gpus_(gpus),
      codec_(codec),
      metering_(std::make_unique<Metering>(metrics)),
      executor_(std::move(executor)),
      admission_(options_.limits, gpus, telemetry, clock),
      tracker_(clock, options_.gpu_refresh),
      pool_(options_.max_concurrent_writes),
      work_ended_(executor_, asio::steady_timer::time_point::max()),
      pause_(executor_),
      extend_due_(executor_),
      sightings_due_(executor_) {}

Collector::~Collector() { pool_.join(); }

void Collector::start() {
  started_ = true;
  concurrency::spawn(executor_, run());
  concurrency::spawn(executor_, extend_leases());
  concurrency::spawn(executor_, write_sightings());
}

bool Collector::stop(milliseconds grace) {
  if (!started_) return true;
  started_ = false;
  asio::post(executor_, [this] {
    stopping_ = true;
    stop_fetching_.emit(asio::cancellation_type::terminal);
    work_ended_.cancel();
    pause_.cancel();
    extend_due_.cancel();
    sightings_due_.cancel();
  });
  if (ended_.get_future().wait_for(grace) != std::future_status::ready) return false;
  const auto last_sightings = tracker_.pending();
  if (last_sightings.empty()) return true;
  if (const auto observed = gpus_.observe(last_sightings); !observed) {
    observability::log_warn(
        "last sightings of GPUs were not stored",
        {{"gpus", last_sightings.size()}, {"reason", observed.error().message}});
  }
  return true;
}

asio::awaitable<void> Collector::run() {
  while (!stopping_) {
    if (storage_refuses_ || queue_refuses_) co_await pause_fetching();
    // While storage refuses, one write at a time finds out when it is back.
    const std::size_t allowed = storage_refuses_ ? 1 : options_.max_concurrent_writes;
    if (in_flight_.size() >= allowed) {
      co_await wait_on(work_ended_);
      continue;
    }
    if (stopping_) break;
    auto messages = co_await gather();
    dispatch(std::move(messages));
  }
  while (!in_flight_.empty()) co_await wait_on(work_ended_);
  extend_due_.cancel();
  while (periodic_ > 0) co_await wait_on(work_ended_);
  ended_.set_value();
}

asio::awaitable<void> Collector::pause_fetching() {
  thread_local std::minstd_rand random{std::random_device{}()};
  const std::int64_t base = options_.first_pause.count() << std::min(pauses_++, 6U);
  pause_.expires_after(milliseconds{base / 2 + static_cast<std::int64_t>(random()) % base});
  if (!stopping_) co_await wait_on(pause_);
}

asio::awaitable<std::vector<queue::Delivery>> Collector::gather() {
  constexpr milliseconds kLongPoll{20'000};
  const std::size_t free =
      storage_refuses_ ? 1 : options_.max_concurrent_writes - in_flight_.size();
  const std::size_t wanted = std::min(free * options_.batch_messages, queue::kMaxBatch);
  auto messages = co_await fetch(wanted, kLongPoll);
  if (!messages.empty() && messages.size() < options_.batch_messages && !stopping_) {
    auto more = co_await fetch(options_.batch_messages - messages.size(), options_.linger);
    std::move(more.begin(), more.end(), std::back_inserter(messages));
  }
  co_return messages;
}

asio::awaitable<std::vector<queue::Delivery>> Collector::fetch(std::size_t max, milliseconds wait) {
  queue::FetchRequest request;
  request.topic = options_.topic;
  request.group = options_.group;
  request.consumer = options_.consumer;
  request.max_messages = max;
  request.wait = wait;
  std::vector<queue::Delivery> messages;
  try {
    // A coroutine of its own, so that a stop cancels the waiting and nothing else.
    auto fetched = co_await asio::co_spawn(
        executor_, queue_.fetch(std::move(request)),
        asio::bind_cancellation_slot(stop_fetching_.slot(), asio::use_awaitable));
    if (fetched) {
      if (!std::exchange(consumes_, true)) {
        observability::log_info("consumer: takes messages from the queue",
                                {{"topic", options_.topic},
                                 {"consumer_group", options_.group},
                                 {"consumer", options_.consumer}});
      }
      queue_refuses_ = false;
      if (!storage_refuses_) pauses_ = 0;
      messages = std::move(*fetched);
    } else if (!stopping_) {
      queue_refuses_ = true;
      queue_refusals_.log(LogLevel::kWarn, "queue client: fetch failed, trying again",
                          {{"reason", fetched.error().message}});
    }
  } catch (const boost::system::system_error&) {
    // Cancelled while it waited: nothing was handed over.
  }
  co_return messages;
}

void Collector::dispatch(std::vector<queue::Delivery> messages) {
  for (std::size_t at = 0; at < messages.size(); at += options_.batch_messages) {
    const std::size_t end = std::min(at + options_.batch_messages, messages.size());
    const auto work = in_flight_.emplace(in_flight_.end());
    for (std::size_t i = at; i < end; ++i) {
      work->receipts.push_back(messages[i].receipt);
      work->messages.push_back(std::move(messages[i]));
    }
    concurrency::spawn(executor_, handle(work));
  }
}

asio::awaitable<void> Collector::handle(std::list<Work>::iterator work) {
  auto job = [this, work] { return store(*work); };
  const Outcome outcome = co_await concurrency::async_offload(pool_, job);
  co_await bury(outcome);
  co_await settle(outcome);
  in_flight_.erase(work);
  work_ended_.cancel();
}

Collector::Outcome Collector::store(const Work& work) {
  thread_local std::vector<TelemetryBatch> batches;  // reused: decoding then allocates nothing
  const auto began = std::chrono::steady_clock::now();
  Outcome outcome;
  if (batches.size() < work.messages.size()) batches.resize(work.messages.size());
  Writes writes;
  Result<void> admitted;
  for (const queue::Delivery& message : work.messages) {
    TelemetryBatch& batch = batches[writes.batches.size()];
    if (const auto decoded = codec_.decode(*message.payload, batch); !decoded) {
      outcome.hopeless.push_back({message.receipt, decoded.error().message});
      continue;
    }
    const auto refusal = admission_.admit(batch);
    if (!refusal) admitted = refusal.error();
    const bool is_whole = refusal && !*refusal;
    if (refusal && *refusal) metering_->refused.Increment(static_cast<double>((*refusal)->samples));
    writes.batches.push_back({&batch, is_whole ? *message.payload : std::string_view()});
    writes.receipts.push_back(message.receipt);
    writes.refusals.push_back(refusal && *refusal ? (*refusal)->reason : std::string());
  }
  if (writes.batches.empty()) return outcome;
  const auto seen = std::span(batches).first(writes.batches.size());
  const auto written = admitted ? write(seen, writes) : admitted;
  if (is_refused(written)) {
    write_one_by_one(writes, outcome);
  } else {
    for (std::size_t i = 0; i < writes.batches.size(); ++i) writes.end(i, written, outcome);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  metering_->write_seconds.Observe(took.count());
  return outcome;
}

Result<void> Collector::write(std::span<const TelemetryBatch> batches, const Writes& writes) {
  const auto observations = tracker_.observe(batches);
  if (!observations.empty()) {
    if (auto observed = gpus_.observe(observations); !observed) return observed;
    tracker_.recorded(observations);
  }
  return telemetry_.write(writes.batches);
}

// Finds the messages because of which storage has refused all of them, so that only those go to the
// dead letters.
void Collector::write_one_by_one(const Writes& writes, Outcome& outcome) {
  for (std::size_t i = 0; i < writes.batches.size(); ++i) {
    writes.end(i, telemetry_.write(std::span(writes.batches).subspan(i, 1)), outcome);
  }
}

asio::awaitable<void> Collector::bury(const Outcome& outcome) {
  for (const Outcome::Hopeless& bad : outcome.hopeless) {
    bad_messages_.log(LogLevel::kError, "message cannot be stored, moved to the dead letters",
                      {{"reason", bad.reason}});
    metering_->dead.Increment();
    queue::NackOptions options;
    options.dead_letter_reason = bad.reason;
    std::vector<std::string> receipt(1, bad.receipt);
    auto request = request_for(std::move(receipt));
    const auto buried = co_await queue_.nack(std::move(request), std::move(options));
    if (!buried) {
      queue_refusals_.log(LogLevel::kWarn, "queue client: nack failed",
                          {{"reason", buried.error().message}});
    }
  }
}

asio::awaitable<void> Collector::settle(const Outcome& outcome) {
  // Of messages that were stored in part, too.
  metering_->samples.Increment(static_cast<double>(outcome.samples));
  if (outcome.good.empty()) co_return;
  const auto count = static_cast<double>(outcome.good.size());
  auto request = request_for(outcome.good);
  Result<std::vector<queue::Settled>> settled = std::vector<queue::Settled>();
  if (outcome.written) {
    if (storage_refuses_) observability::log_info("storage accepts writes again");
    storage_refuses_ = false;
    metering_->acknowledged.Increment(count);
    settled = co_await queue_.ack(std::move(request));
  } else {
    storage_refuses_ = true;
    metering_->returned.Increment(count);
    storage_refusals_.log(LogLevel::kError, "storage does not accept writes, messages wait",
                          {{"reason", outcome.written.error().message}});
    queue::NackOptions options;
    options.release = true;
    settled = co_await queue_.nack(std::move(request), std::move(options));
  }
  if (settled) co_return;
  // They will be delivered again, and storing them again changes nothing.
  queue_refusals_.log(LogLevel::kWarn, "queue client: settling messages failed",
                      {{"reason", settled.error().message}});
}

asio::awaitable<void> Collector::extend_leases() {
  const milliseconds period = std::max(options_.visibility_timeout / 3, milliseconds{100});
  ++periodic_;
  while (!stopping_ || !in_flight_.empty()) {
    extend_due_.expires_after(period);
    co_await wait_on(extend_due_);
    if (in_flight_.empty()) continue;
    std::vector<std::string> receipts;
    for (const Work& work : in_flight_) {
      receipts.insert(receipts.end(), work.receipts.begin(), work.receipts.end());
    }
    for (std::size_t at = 0; at < receipts.size(); at += queue::kMaxBatch) {
      const auto from = receipts.begin() + static_cast<std::ptrdiff_t>(at);
      const std::size_t count = std::min(queue::kMaxBatch, receipts.size() - at);
      std::vector<std::string> part(from, from + static_cast<std::ptrdiff_t>(count));
      auto request = request_for(std::move(part));
      const auto extended = co_await queue_.extend(std::move(request), options_.visibility_timeout);
      if (!extended) {
        queue_refusals_.log(LogLevel::kWarn, "queue client: extend failed",
                            {{"reason", extended.error().message}});
      }
    }
  }
  --periodic_;
  work_ended_.cancel();
}

// A GPU that has fallen silent is not seen again, and so nothing else would write when it was seen
// last.
asio::awaitable<void> Collector::write_sightings() {
  ++periodic_;
  while (!stopping_) {
    sightings_due_.expires_after(options_.gpu_refresh);
    co_await wait_on(sightings_due_);
    if (stopping_ || storage_refuses_) continue;
    auto write = [this]() -> Result<void> {
      const auto pending = tracker_.pending();
      if (pending.empty()) return {};
      auto observed = gpus_.observe(pending);
      if (observed) tracker_.recorded(pending);
      return observed;
    };
    const auto written = co_await concurrency::async_offload(pool_, write);
    if (!written) {
      storage_refusals_.log(LogLevel::kWarn, "sightings of GPUs were not stored, trying again",
                            {{"reason", written.error().message}});
    }
  }
  --periodic_;
  work_ended_.cancel();
}

queue::SettleRequest Collector::request_for(std::vector<std::string> receipts) const {
  queue::SettleRequest request;
  request.topic = options_.topic;
  request.group = options_.group;
  request.receipts_or_ids = std::move(receipts);
  return request;
}

}  // namespace gpu_telemetry::services
