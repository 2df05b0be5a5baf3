#include "services/streamer/streamer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "concurrency/thread_name.h"
#include "observability/log.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using observability::LogLevel;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kGraceAfterFailure{2'000};

// As unique as it has to be: also for containers that all call their first process 1.
std::string unique_member() {
  std::array<char, 64> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  std::random_device random;
  const std::uint64_t number = std::uint64_t{random()} << 32 | random();
  return std::string(host.data()) + "-" + std::to_string(::getpid()) + "-" + std::to_string(number);
}

SharedStreamingOptions shared_options(const StreamerOptions& options) {
  SharedStreamingOptions shared;
  shared.batch_rows = std::max<std::size_t>(options.batch_rows, 1);
  shared.interval = options.interval;
  shared.membership.topic = options.topic;
  shared.membership.member = options.member.empty() ? unique_member() : options.member;
  shared.membership.lease = options.shard_lease;
  shared.membership.renewal = options.shard_renewal;
  return shared;
}

}  // namespace

Streamer::Streamer(StreamerOptions options, std::unique_ptr<sources::Source> source,
                   queue::MessageQueue& queue, const BatchCodec& codec,
                   observability::Metrics& metrics, asio::any_io_executor executor)
    : options_(std::move(options)),
      source_(std::move(source)),
      codec_(codec),
      metering_(metrics, source_->counters()),
      publisher_(options_.topic, queue, metering_, executor) {
  if (options_.shard_lease <= milliseconds{0}) return;
  if (source_->shareable() == nullptr) {
    observability::log_info("the source can be read only once and is not shared with others");
    return;
  }
  shared_ = std::make_unique<SharedStreaming>(
      shared_options(options_), *source_, queue, codec_, metering_, metrics, std::move(executor),
      [this](std::uint64_t messages, std::uint64_t samples) { count(messages, samples); });
}

Streamer::~Streamer() { stop(milliseconds{0}); }

void Streamer::start(std::function<void(Result<void>)> on_end) {
  thread_ = std::jthread([this, on_end = std::move(on_end)](std::stop_token stop) {
    concurrency::name_this_thread("streamer");
    run(std::move(stop), on_end);
  });
}

void Streamer::run(std::stop_token stop, const std::function<void(Result<void>)>& on_end) {
  Result<void> ended = shared_ ? shared_->run(stop) : stream(stop);
  if (stop.stop_requested()) return;
  // Others may be able to read what cannot be read here.
  if (shared_ && !ended) shared_->stop(kGraceAfterFailure);
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
  Publication publication;
  publication.payloads.push_back(std::move(payload));
  publication.samples = samples;
  auto give_up = [this](const Error&, std::chrono::steady_clock::duration) {
    const std::lock_guard lock(mutex_);
    return abandoned_;
  };
  auto done = [this, samples](const Result<void>& published) {
    if (published) count(1, samples);
    const std::lock_guard lock(mutex_);
    if (!published && !abandoned_) publish_failure_ = published.error();
    --in_flight_;
    changed_.notify_all();
  };
  publisher_.start(std::move(publication), std::move(give_up), std::move(done));
}

void Streamer::count(std::uint64_t messages, std::uint64_t samples) {
  const std::lock_guard lock(mutex_);
  counts_.messages_published += messages;
  counts_.samples_published += samples;
}

void Streamer::stop(milliseconds grace) {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  if (shared_) shared_->stop(grace);
  std::size_t given_up = 0;
  {
    std::unique_lock lock(mutex_);
    const auto is_done = [this] { return in_flight_ == 0; };
    if (!changed_.wait_for(lock, grace, is_done)) given_up = in_flight_;
    abandoned_ = true;
    publisher_.cancel();
    changed_.wait(lock, is_done);
  }
  if (given_up == 0) return;
  observability::log_warn("streamer gave up publishing what the queue did not accept in time",
                          {{"messages", given_up}, {"grace", format_duration(grace)}});
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
