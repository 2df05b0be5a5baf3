#include "services/streamer/shared_streaming.h"

#include <algorithm>
#include <utility>

#include "observability/log.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;
using std::chrono::milliseconds;
namespace {

// Rows of a window without pauses: at a millisecond for each publish still millions of rows a
// second, in some hundred kilobytes.
constexpr std::size_t kFullWindowRows = 32'768;
constexpr std::size_t kMaxMessages = 2'048;
// A queue that has been refusing a window of many messages for so long may have no room for as many
// at all, however empty it gets.
constexpr std::chrono::seconds kPatienceWithFullQueue{1};
constexpr std::size_t kShrinkBy = 8;
// The first window has few messages, because nobody knows how many the queue has room for; it
// doubles with each publish that is not refused. After the queue was found to be small, only after
// many.
constexpr std::size_t kFirstMessages = 4;
constexpr std::size_t kSmoothPublishesAfterShrinking = 100;
// How long a stamp may be ahead of the clock, and some more.
constexpr milliseconds kLongestSettling{1'500};
constexpr milliseconds kSettlingStep{20};
constexpr milliseconds kShortestLeave{100};
constexpr milliseconds kLongestLeave{2'000};

}  // namespace

std::size_t window_rows(std::size_t batch_rows, milliseconds interval) {
  if (interval > milliseconds{0}) return batch_rows;
  return std::max(batch_rows, std::min(kFullWindowRows, kMaxMessages * batch_rows));
}

SharedStreaming::SharedStreaming(SharedStreamingOptions options, sources::Source& source,
                                 queue::MessageQueue& queue, const BatchCodec& codec,
                                 StreamerMetering& metering, observability::Metrics& metrics,
                                 asio::any_io_executor executor, OnAccepted on_accepted)
    : options_(std::move(options)),
      source_(source),
      shared_(*source.shareable()),
      queue_(queue),
      codec_(codec),
      executor_(std::move(executor)),
      on_accepted_(std::move(on_accepted)),
      publisher_(options_.membership.topic, queue, metering, executor_),
      shard_metering_(metrics),
      full_window_(window_rows(options_.batch_rows, options_.interval)),
      window_rows_(std::min(full_window_, kFirstMessages * options_.batch_rows)) {}

SharedStreaming::~SharedStreaming() { stop(milliseconds{0}); }

Result<void> SharedStreaming::run(std::stop_token stop) {
  Result<std::string> name = shared_.shared_name();
  if (!name) return name.error();
  source_name_ = *name;
  ShardMembershipOptions membership = options_.membership;
  membership.source = source_name_;
  membership_ =
      std::make_shared<ShardMembership>(std::move(membership), queue_, shard_metering_, executor_);
  membership_->start([this] {
    std::stop_source reader;
    {
      const std::lock_guard lock(mutex_);
      reader = interrupt_;
    }
    reader.request_stop();
  });
  shared_.set_window(window_rows_);
  while (true) {
    switch (membership_->wait_for_task(stop)) {
      case ShardMembership::Task::kStopped:
        return cancelled("the streamer was stopped");
      case ShardMembership::Task::kFailed:
        return membership_->failure();
      case ShardMembership::Task::kEnd:
        return {};
      case ShardMembership::Task::kGiveBack:
        give_back(stop);
        break;
      case ShardMembership::Task::kRead:
        if (const Result<void> read = read_shards(stop); !read) return read;
        break;
    }
  }
}

// Reads and publishes until the shards change or are finished.
Result<void> SharedStreaming::read_shards(const std::stop_token& stop) {
  std::stop_source interrupt;
  {
    const std::lock_guard lock(mutex_);
    interrupt_ = interrupt;
  }
  const std::stop_callback also_at_stop(stop, [&interrupt] { interrupt.request_stop(); });
  sources::ShardSelection selection;
  const std::uint64_t number = membership_->selection(selection);
  if (selection.shards() == 0) return {};
  const Result<void> selected = shared_.select(selection, interrupt.get_token());
  if (selected) return read_windows(number, stop, interrupt.get_token());
  return selected.error().code == ErrorCode::kCancelled ? Result<void>() : selected;
}

Result<void> SharedStreaming::read_windows(std::uint64_t number, const std::stop_token& stop,
                                           const std::stop_token& interrupt) {
  while (true) {
    Result<Window> window = read_window(interrupt);
    const Result<void> published = wait_for_publish(stop);
    if (stop.stop_requested()) return {};
    adapt_window(published);
    if (!published) {
      const ErrorCode code = published.error().code;
      const bool passing = code == ErrorCode::kConflict || code == ErrorCode::kFull ||
                           code == ErrorCode::kUnavailable;
      if (!passing) return published;
      // What was accepted and what is still held: the queue knows.
      membership_->ask(stop);
      return {};
    }
    if (!window) {
      const bool interrupted = window.error().code == ErrorCode::kCancelled;
      return interrupted ? Result<void>() : Result<void>(window.error());
    }
    if (membership_->has_changed(number)) return {};
    if (window->source_ended) {
      sources::ShardSelection rest;
      membership_->selection(rest);
      if (rest.shards() == 0 || membership_->has_changed(number)) return {};
      return internal("the source has ended and not all of its shards");
    }
    const bool has_messages = !window->publication.payloads.empty();
    publish_in_background(std::move(*window), number);
    if (has_messages) pause(interrupt);
  }
}

Result<SharedStreaming::Window> SharedStreaming::read_window(const std::stop_token& interrupt) {
  Window window;
  while (true) {
    const auto state = source_.next(batch_, options_.batch_rows, interrupt);
    if (!state) return state.error();
    window.source_ended = *state == sources::SourceState::kEnd;
    if (!batch_.empty()) {
      auto encoded = std::make_shared<std::string>();
      codec_.encode(batch_, *encoded);
      window.publication.payloads.push_back(std::move(encoded));
      window.publication.samples += batch_.samples.size();
    }
    if (*state == sources::SourceState::kBatch) continue;
    if (!window.source_ended) window.end = shared_.window_end();
    return window;
  }
}

Result<void> SharedStreaming::wait_for_publish(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return !publishing_; })) return {};
  Result<void> outcome = outcome_.value_or(Result<void>());
  outcome_.reset();
  return outcome;
}

void SharedStreaming::publish_in_background(Window window, std::uint64_t number) {
  std::vector<queue::ShardStep> steps = membership_->steps(window.end);
  if (steps.empty()) return;  // a window of nothing
  queue::ShardProgress progress;
  progress.source = source_name_;
  progress.member = options_.membership.member;
  progress.steps = steps;
  window.publication.progress = std::move(progress);
  const std::size_t messages = window.publication.payloads.size();
  const std::uint64_t samples = window.publication.samples;
  {
    const std::lock_guard lock(mutex_);
    publishing_ = true;
    may_shrink_ = messages > 1;
    refused_ = too_large_ = false;
  }
  auto give_up = [this, number](const Error& refusal, std::chrono::steady_clock::duration time) {
    return give_up_on(refusal, time, number);
  };
  auto done = [this, messages, samples, steps = std::move(steps)](Result<void> published) {
    if (published) {
      membership_->advance(steps);
      on_accepted_(messages, samples);
    }
    const std::lock_guard lock(mutex_);
    publishing_ = false;
    outcome_ = std::move(published);
    changed_.notify_all();
  };
  publisher_.start(std::move(window.publication), std::move(give_up), std::move(done));
}

bool SharedStreaming::give_up_on(const Error& refusal,
                                 std::chrono::steady_clock::duration refused_for,
                                 std::uint64_t number) {
  const bool changed = membership_->has_changed(number);
  const std::lock_guard lock(mutex_);
  refused_ = true;
  too_large_ =
      may_shrink_ && refusal.code == ErrorCode::kFull && refused_for >= kPatienceWithFullQueue;
  return changed || abandoned_ || too_large_;
}

void SharedStreaming::adapt_window(const Result<void>& published) {
  bool refused;
  bool too_large;
  {
    const std::lock_guard lock(mutex_);
    refused = refused_;
    too_large = too_large_ && !published;
  }
  smooth_publishes_ = refused ? 0 : smooth_publishes_ + 1;
  if (too_large) {
    window_rows_ = std::max(options_.batch_rows, window_rows_ / kShrinkBy);
    smooth_publishes_to_grow_ = kSmoothPublishesAfterShrinking;
    observability::log_info("publish: the queue stays full, trying fewer messages at once",
                            {{"rows", window_rows_}});
  } else if (smooth_publishes_ >= smooth_publishes_to_grow_ && window_rows_ < full_window_) {
    window_rows_ = std::min(full_window_, 2 * window_rows_);
    smooth_publishes_ = 0;
  } else {
    return;
  }
  shared_.set_window(window_rows_);
}

void SharedStreaming::pause(const std::stop_token& interrupt) {
  if (options_.interval <= milliseconds{0}) return;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, interrupt, options_.interval, [] { return false; });
}

// Until another process stamps later than what was published here.
void SharedStreaming::settle(const std::stop_token& stop, milliseconds longest) {
  const auto deadline = std::chrono::steady_clock::now() + longest;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested() && std::chrono::steady_clock::now() < deadline) {
    const milliseconds rest = shared_.until_settled();
    if (rest <= milliseconds{0}) return;
    changed_.wait_for(lock, stop, std::min(rest, kSettlingStep), [] { return false; });
  }
}

void SharedStreaming::give_back(const std::stop_token& stop) {
  settle(stop, kLongestSettling);
  if (!stop.stop_requested()) membership_->ask(stop);
}

// False: it was cut short.
bool SharedStreaming::end_publishing(std::chrono::steady_clock::time_point deadline) {
  const auto is_over = [this] { return !publishing_; };
  std::unique_lock lock(mutex_);
  abandoned_ = true;
  if (changed_.wait_until(lock, deadline, is_over)) return true;
  publisher_.cancel();
  changed_.wait(lock, is_over);
  return false;
}

void SharedStreaming::stop(milliseconds grace) {
  if (!membership_) return;
  const auto deadline = std::chrono::steady_clock::now() + grace;
  const auto time_left = [deadline] {
    return std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
  };
  if (!end_publishing(deadline)) {
    observability::log_warn(
        "the queue did not answer in time; who shares the source goes on after what it accepted",
        {{"source", source_name_}, {"grace", format_duration(grace)}});
  }
  if (grace > milliseconds{0}) {
    settle({}, std::min(time_left(), kLongestSettling));
    membership_->leave(std::clamp(time_left(), kShortestLeave, kLongestLeave));
  }
  membership_->stop();
}

}  // namespace gpu_telemetry::services
