#include "services/streamer/streamer.h"

#include <prometheus/counter.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>
#include <utility>
#include <vector>

#include "concurrency/thread_name.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::LogLevel;
using std::chrono::milliseconds;

// Publishes the source's own counters as metrics: they are read when somebody asks.
struct Streamer::Metering {
  Metering(observability::Metrics& metrics, const sources::SourceCounters& counters)
      : samples(metrics.counter("gpu_telemetry_samples_published_total",
                                "Samples that the queue has accepted")),
        messages(metrics.counter("gpu_telemetry_messages_published_total",
                                 "Messages that the queue has accepted")),
        refusals(metrics.counter("gpu_telemetry_publish_refusals_total",
                                 "Times that the queue was full or away and the streamer waited")) {
    const auto watch_row = [&](const char* result, const std::atomic<std::uint64_t>& count) {
      watch(metrics.counter("gpu_telemetry_source_rows_total",
                            "Rows read from the source, by what became of them",
                            {{"result", result}}),
            count);
    };
    watch_row("accepted", counters.rows_accepted);
    watch_row("malformed", counters.rows_malformed);
    watch_row("absent", counters.rows_absent);
    watch_row("other_shard", counters.rows_other_shard);
    for (int reason = 1; reason < kRejectionCount; ++reason) {
      const auto name = std::string(to_string(static_cast<Rejection>(reason)));
      watch(metrics.counter("gpu_telemetry_readings_rejected_total",
                            "Values that are not readings, by reason", {{"reason", name}}),
            counters.rejected[static_cast<std::size_t>(reason)]);
    }
    sampler = metrics.on_collect([this] { collect(); });
  }

  void watch(prometheus::Counter& counter, const std::atomic<std::uint64_t>& source) {
    watched.push_back({&counter, &source, 0});
  }

  void collect() {
    for (Watched& each : watched) {
      const std::uint64_t now = each.source->load(std::memory_order_relaxed);
      each.counter->Increment(static_cast<double>(now - each.seen));
      each.seen = now;
    }
  }

  struct Watched {
    prometheus::Counter* counter;
    const std::atomic<std::uint64_t>* source;
    std::uint64_t seen;
  };
  std::vector<Watched> watched;
  prometheus::Counter& samples;
  prometheus::Counter& messages;
  prometheus::Counter& refusals;
  std::shared_ptr<observability::Metrics::Sampler> sampler;
};

Streamer::Streamer(StreamerOptions options, std::unique_ptr<sources::Source> source,
                   queue::MessageQueue& queue, const BatchCodec& codec,
                   observability::Metrics& metrics, asio::any_io_executor executor)
    : options_(std::move(options)),
      source_(std::move(source)),
      queue_(queue),
      codec_(codec),
      executor_(std::move(executor)),
      metering_(std::make_unique<Metering>(metrics, source_->counters())) {}

Streamer::~Streamer() { stop(milliseconds{0}); }

void Streamer::start(std::function<void(Result<void>)> on_end) {
  thread_ = std::jthread([this, on_end = std::move(on_end)](std::stop_token stop) {
    concurrency::name_this_thread("streamer");
    run(std::move(stop), on_end);
  });
}

void Streamer::run(std::stop_token stop, const std::function<void(Result<void>)>& on_end) {
  Result<void> ended = stream(stop);
  if (stop.stop_requested()) return;
  {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [this] { return in_flight_ == 0; })) return;
    if (ended && !publish_failure_) ended = publish_failure_;
  }
  log_end(ended);
  if (on_end) on_end(ended);
}

Result<void> Streamer::stream(std::stop_token stop) {
  TelemetryBatch batch;
  while (true) {
    const auto state = source_->next(batch, options_.batch_rows, stop);
    if (!state) return state.error();
    if (*state == sources::SourceState::kEnd) return {};
    auto encoded = std::make_shared<std::string>();
    codec_.encode(batch, *encoded);
    {
      std::unique_lock lock(mutex_);
      const auto has_slot = [this] { return in_flight_ < options_.publishes_in_flight; };
      if (!changed_.wait(lock, stop, has_slot)) return cancelled("the streamer was stopped");
      if (!publish_failure_) return publish_failure_;
      ++in_flight_;
    }
    publish_in_background(std::move(encoded), batch.samples.size());
    if (options_.interval > milliseconds{0}) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, options_.interval, [] { return false; });
    }
  }
}

void Streamer::publish_in_background(queue::Payload payload, std::uint64_t samples) {
  auto done = [this](const std::exception_ptr& thrown) {
    const std::lock_guard lock(mutex_);
    if (thrown) publish_failure_ = internal("publishing failed with an exception");
    --in_flight_;
    changed_.notify_all();
  };
  asio::co_spawn(executor_, publish_until_accepted(std::move(payload), samples), std::move(done));
}

// Takes note of a refusal; true when the message is not to be offered again.
bool Streamer::give_up_on(const Error& error) {
  const bool passing = error.code == ErrorCode::kFull || error.code == ErrorCode::kUnavailable;
  const std::lock_guard lock(mutex_);
  if (!passing) publish_failure_ = error;
  return !passing || abandoned_;
}

asio::awaitable<void> Streamer::publish_until_accepted(queue::Payload payload,
                                                       std::uint64_t samples) {
  constexpr milliseconds kFirstPause{5};
  constexpr milliseconds kLongestPauseFull{50};  // so that a full queue never runs dry
  constexpr milliseconds kLongestPauseAway{2000};
  thread_local std::minstd_rand jitter{std::random_device{}()};
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (milliseconds pause = kFirstPause;; pause *= 2) {
    std::vector<queue::OutgoingMessage> messages(1);
    messages.front().payload = payload;
    const auto published = co_await queue_.publish(options_.topic, std::move(messages));
    if (published) {
      metering_->messages.Increment();
      metering_->samples.Increment(static_cast<double>(samples));
      const std::lock_guard lock(mutex_);
      ++counts_.messages_published;
      counts_.samples_published += samples;
      co_return;
    }
    const Error& error = published.error();
    if (give_up_on(error)) co_return;
    metering_->refusals.Increment();
    const bool away = error.code == ErrorCode::kUnavailable;
    if (away) {
      refusals_.log(LogLevel::kWarn, "queue client: publish refused, trying again",
                    {{"reason", error.message}});
    }
    pause = std::min(pause, away ? kLongestPauseAway : kLongestPauseFull);
    timer.expires_after(pause + milliseconds{jitter() % static_cast<unsigned>(pause.count())});
    co_await timer.async_wait(asio::use_awaitable);
  }
}

void Streamer::stop(milliseconds grace) {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, grace, [this] { return in_flight_ == 0; })) return;
  observability::log_warn("streamer gave up messages that the queue did not accept in time",
                          {{"messages", in_flight_}, {"grace", format_duration(grace)}});
  abandoned_ = true;
  changed_.wait(lock, [this] { return in_flight_ == 0; });
}

StreamerCounts Streamer::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Streamer::log_end(const Result<void>& ended) const {
  const sources::SourceCounters& rows = source_->counters();
  const StreamerCounts published = counts();
  const auto level = ended ? LogLevel::kInfo : LogLevel::kError;
  observability::log_line(level,
                          ended ? "streamer finished: the source has ended"
                                : "streamer ended: the source cannot be read any further",
                          {{"reason", ended ? std::string("end of input") : ended.error().message},
                           {"rows_accepted", rows.rows_accepted.load()},
                           {"rows_malformed", rows.rows_malformed.load()},
                           {"rows_absent", rows.rows_absent.load()},
                           {"rows_other_shard", rows.rows_other_shard.load()},
                           {"samples_published", published.samples_published},
                           {"messages_published", published.messages_published}});
}

}  // namespace gpu_telemetry::services
