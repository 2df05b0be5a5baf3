#include "queue/redis/redis_connection.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <random>

namespace gpu_telemetry::queue {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kFirstPause{20};
constexpr std::chrono::milliseconds kLongestPause{2000};
constexpr std::chrono::milliseconds kWatchEvery{250};
// A subscriber hears nothing for long; a ping tells whether anybody is there.
constexpr std::chrono::seconds kPingEvery{5};
// What one write takes.
constexpr std::size_t kWriteSize = 1 << 20;
constexpr std::size_t kReadSize = 256 << 10;

SteadyTime steady_now() { return std::chrono::steady_clock::now(); }

// Half to all of `pause`, so that many processes do not come back at the same moment.
std::chrono::milliseconds with_jitter(std::chrono::milliseconds pause) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  return pause / 2 + std::chrono::milliseconds{
                         std::uniform_int_distribution<std::int64_t>(0, pause.count() / 2)(random)};
}

bool begins_with(std::string_view text, std::string_view what) {
  return text.substr(0, what.size()) == what;
}

// Redis is there but cannot serve: a connection made later may.
bool is_of_the_connection(std::string_view error) {
  return begins_with(error, "READONLY") || begins_with(error, "LOADING") ||
         begins_with(error, "MASTERDOWN") || begins_with(error, "NOAUTH");
}

template <class CoroutineHandler>
class OneAnswer final : public RedisConnection::Handler {
 public:
  explicit OneAnswer(CoroutineHandler handler) : resume_(std::move(handler)) {}
  void complete(RedisConnection::Answer answer) override { resume_(std::move(answer)); }

 private:
  redis_detail::Resume<CoroutineHandler, RedisConnection::Answer> resume_;
};

// Resumes a coroutine with what comes first. Thread-safe.
template <class CoroutineHandler>
class FirstAnswer {
 public:
  explicit FirstAnswer(CoroutineHandler handler) : resume_(std::move(handler)) {}
  void take(RedisConnection::Answer answer) {
    if (taken_.exchange(true)) return;
    // Out of here, where it would be kept, and the coroutine's context with it, until Redis
    // answers.
    auto resume = std::move(resume_);
    resume(std::move(answer));
  }

 private:
  std::atomic<bool> taken_{false};
  redis_detail::Resume<CoroutineHandler, RedisConnection::Answer> resume_;
};

template <class CoroutineHandler>
class AnswerInTime final : public RedisConnection::Handler {
 public:
  explicit AnswerInTime(std::shared_ptr<FirstAnswer<CoroutineHandler>> first)
      : first_(std::move(first)) {}
  void complete(RedisConnection::Answer answer) override { first_->take(std::move(answer)); }

 private:
  std::shared_ptr<FirstAnswer<CoroutineHandler>> first_;
};

template <class CoroutineHandler>
struct Gathered {
  Gathered(CoroutineHandler handler, std::size_t count)
      : resume(std::move(handler)), answers(count, RedisConnection::Answer(Error{})), left(count) {}
  redis_detail::Resume<CoroutineHandler, std::vector<RedisConnection::Answer>> resume;
  std::vector<RedisConnection::Answer> answers;
  std::size_t left;
};

template <class CoroutineHandler>
class OneOfMany final : public RedisConnection::Handler {
 public:
  OneOfMany(std::shared_ptr<Gathered<CoroutineHandler>> all, std::size_t index)
      : all_(std::move(all)), index_(index) {}
  void complete(RedisConnection::Answer answer) override {
    all_->answers[index_] = std::move(answer);
    if (--all_->left == 0) all_->resume(std::move(all_->answers));
  }

 private:
  std::shared_ptr<Gathered<CoroutineHandler>> all_;
  std::size_t index_;
};

}  // namespace

struct RedisConnection::Link {
  std::shared_ptr<RedisStream> stream;
  RedisReplyReader replies;
  std::vector<char> buffer = std::vector<char>(kReadSize);
  bool writing = false;
  bool broken = false;
  bool answered = false;
  SteadyTime last_ping = steady_now();

  void close() {
    broken = true;
    stream->close();
  }
};

RedisConnection::RedisConnection(RedisConnectionOptions options, asio::any_io_executor io)
    : options_(std::move(options)),
      strand_(asio::make_strand(std::move(io))),
      pause_(strand_),
      watch_timer_(strand_),
      last_error_(unavailable("not connected to Redis at " + describe(options_.server) + " yet")) {}

void RedisConnection::start() {
  const auto self = shared_from_this();
  asio::co_spawn(strand_, [self] { return self->run(); }, asio::detached);
  asio::co_spawn(strand_, [self] { return self->watch(); }, asio::detached);
}

void RedisConnection::stop() {
  asio::post(strand_, [self = shared_from_this()] {
    if (self->stopping_) return;
    self->stopping_ = true;
    self->pause_.cancel();
    self->watch_timer_.cancel();
    while (!self->waiting_.empty()) {
      Request request = std::move(self->waiting_.front());
      self->waiting_.pop_front();
      if (request.handler) request.handler->complete(self->not_connected());
    }
    if (self->link_ && self->sent_.empty()) self->link_->close();
  });
}

// --- requests

void RedisConnection::send(std::string command, std::unique_ptr<Handler> handler) {
  std::vector<Request> requests(1);
  requests[0].bytes = std::move(command);
  requests[0].handler = std::move(handler);
  enqueue(std::move(requests));
}

void RedisConnection::enqueue(std::vector<Request> requests) {
  auto add = [self = shared_from_this(), requests = std::move(requests)]() mutable {
    const SteadyTime now = steady_now();
    for (Request& request : requests) {
      if (self->stopping_) {
        if (request.handler) request.handler->complete(self->not_connected());
        continue;
      }
      request.since = now;
      self->waiting_.push_back(std::move(request));
    }
    self->flush();
  };
  asio::post(strand_, std::move(add));
}

asio::awaitable<RedisConnection::Answer> RedisConnection::call(std::string command) {
  auto start = [this, &command](auto handler) {
    using One = OneAnswer<decltype(handler)>;
    send(std::move(command), std::make_unique<One>(std::move(handler)));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Answer)>(
      std::move(start), asio::use_awaitable);
}

asio::awaitable<RedisConnection::Answer> RedisConnection::call_until_cancelled(
    std::string command) {
  auto start = [this, &command](auto handler) {
    using First = FirstAnswer<decltype(handler)>;
    auto slot = asio::get_associated_cancellation_slot(handler);
    const auto first = std::make_shared<First>(std::move(handler));
    // The slot first: once the command is sent, another thread may resume the coroutine. It belongs
    // to the coroutine, so that it must not keep it.
    if (slot.is_connected()) {
      slot.assign([weak = std::weak_ptr<First>(first)](asio::cancellation_type) {
        if (const auto waiting = weak.lock()) {
          waiting->take(cancelled("the request was given up before Redis had answered"));
        }
      });
    }
    send(std::move(command), std::make_unique<AnswerInTime<decltype(handler)>>(first));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Answer)>(
      std::move(start), asio::use_awaitable);
}

asio::awaitable<std::vector<RedisConnection::Answer>> RedisConnection::call_all(
    std::vector<std::string> commands) {
  auto start = [this, &commands](auto handler) {
    using Many = OneOfMany<decltype(handler)>;
    auto all = std::make_shared<Gathered<decltype(handler)>>(std::move(handler), commands.size());
    std::vector<Request> requests(commands.size());
    for (std::size_t i = 0; i < commands.size(); ++i) {
      requests[i].bytes = std::move(commands[i]);
      requests[i].handler = std::make_unique<Many>(all, i);
    }
    enqueue(std::move(requests));
  };
  if (commands.empty()) co_return std::vector<Answer>{};
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::vector<Answer>)>(
      std::move(start), asio::use_awaitable);
}

Error RedisConnection::not_connected() const {
  return stopping_ ? unavailable("the queue is shutting down") : last_error_;
}

// --- on the strand

void RedisConnection::flush() {
  if (!link_ || link_->writing || link_->broken || waiting_.empty()) return;
  link_->writing = true;
  const auto self = shared_from_this();
  asio::co_spawn(
      strand_, [self, link = link_] { return self->write_requests(link); }, asio::detached);
}

asio::awaitable<void> RedisConnection::write_requests(std::shared_ptr<Link> link) {
  const auto self = shared_from_this();
  std::vector<asio::const_buffer> buffers;
  while (!link->broken && !waiting_.empty()) {
    buffers.clear();
    // Elements of a deque stay where they are while others come and go at its ends; one that is
    // answered is written. So the bytes of what is sent are valid until the write ends, unless the
    // link breaks: then the write has ended before they go (see serve).
    std::size_t size = 0;
    while (!waiting_.empty() && size < kWriteSize) {
      sent_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
      Request& request = sent_.back();
      request.since = steady_now();
      buffers.emplace_back(asio::buffer(request.bytes));
      size += request.bytes.size();
    }
    error_code error;
    co_await link->stream->write(buffers, error);
    if (error) link->close();
  }
  link->writing = false;
  if (link->broken) pause_.cancel();  // serve may wait for this
}

// False when the connection is of no more use.
bool RedisConnection::take_reply(RedisReply reply) {
  if (options_.on_message && reply.elements.size() == 3 && reply.elements[0].text == "message") {
    options_.on_message(std::move(reply.elements[2].text));
    return true;
  }
  if (sent_.empty()) {
    last_error_ = corrupt("Redis at " + describe(options_.server) + " sent an answer too many");
    return false;
  }
  Request request = std::move(sent_.front());
  sent_.pop_front();
  if (reply.is_error() && begins_with(reply.text, "NOSCRIPT") && !request.retried) {
    request.retried = true;
    waiting_.push_front(std::move(request));
    for (const std::string& script : options_.scripts) {
      waiting_.push_front({script, nullptr, steady_now(), true});
    }
    flush();
    return true;
  }
  const bool usable = !reply.is_error() || !is_of_the_connection(reply.text);
  if (!usable) last_error_ = unavailable("Redis answered: " + reply.text);
  if (request.handler) request.handler->complete(std::move(reply));
  return usable && !(stopping_ && sent_.empty());
}

asio::awaitable<Result<void>> RedisConnection::read_replies(std::shared_ptr<Link> link) {
  for (;;) {
    error_code error;
    const std::size_t size = co_await link->stream->read_some(asio::buffer(link->buffer), error);
    if (error) co_return unavailable("Redis closed the connection: " + error.message());
    link->answered = true;
    link->replies.feed({link->buffer.data(), size});
    for (;;) {
      auto reply = link->replies.next();
      if (!reply) co_return reply.error();
      if (!*reply) break;
      if (!take_reply(std::move(**reply))) co_return last_error_;
    }
  }
}

std::vector<std::string> RedisConnection::opening() const {
  std::vector<std::string> commands;
  const RedisServer& server = options_.server;
  const std::string password = server.password ? server.password() : std::string();
  if (!password.empty()) {
    RedisCommand auth(server.username.empty() ? 2 : 3);
    auth.add("AUTH");
    if (!server.username.empty()) auth.add(server.username);
    auth.add(password);
    commands.push_back(auth.take());
  }
  if (server.database != 0) {
    RedisCommand select(2);
    select.add("SELECT").add(static_cast<std::int64_t>(server.database));
    commands.push_back(select.take());
  }
  commands.insert(commands.end(), options_.greeting.begin(), options_.greeting.end());
  return commands;
}

asio::awaitable<Result<void>> RedisConnection::greet(Link& link) {
  const std::vector<std::string> commands = opening();
  std::string all;
  for (const std::string& command : commands) all += command;
  error_code error;
  const std::vector<asio::const_buffer> bytes{asio::buffer(all)};
  co_await link.stream->write(bytes, error);
  for (std::size_t answered = 0; !error && answered < commands.size();) {
    const std::size_t size = co_await link.stream->read_some(asio::buffer(link.buffer), error);
    if (error) break;
    link.replies.feed({link.buffer.data(), size});
    while (answered < commands.size()) {
      auto reply = link.replies.next();
      if (!reply) co_return reply.error();
      if (!*reply) break;
      if ((*reply)->is_error()) {
        co_return unavailable("Redis at " + describe(options_.server) +
                              " refused us: " + (*reply)->text);
      }
      ++answered;
    }
  }
  if (error) co_return unavailable("Redis closed the connection: " + error.message());
  co_return Result<void>{};
}

// Connects, and serves until the connection ends. Always returns an error, but for stop().
asio::awaitable<Result<void>> RedisConnection::serve() {
  auto stream = co_await connect_to_redis(options_.server, strand_, options_.connect_timeout);
  if (!stream) co_return stream.error();
  if (stopping_) co_return Result<void>{};
  const auto link = std::make_shared<Link>();
  link->stream = std::move(*stream);
  asio::steady_timer too_slow(strand_, options_.connect_timeout);
  too_slow.async_wait([link](error_code error) {
    if (!error) link->close();
  });
  auto greeted = co_await greet(*link);
  too_slow.cancel();
  if (!greeted) co_return greeted;
  if (link->broken) co_return unavailable("Redis took too long to greet us");
  // stop() knew of no link to close.
  if (stopping_) co_return Result<void>{};
  if (complained_) {
    complained_ = false;
    observability::log_info("Connected to Redis again", {{"redis", describe(options_.server)}});
  }
  link_ = link;
  if (options_.on_change) options_.on_change(true);
  flush();
  Result<void> ended = Result<void>{};
  ended = co_await read_replies(link);
  was_good_ = link->answered;
  link->close();
  link_.reset();
  while (link->writing) {
    error_code cancelled;
    pause_.expires_after(kLongestPause);
    co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
  if (options_.on_change) options_.on_change(false);
  co_return ended;
}

asio::awaitable<void> RedisConnection::run() {
  const auto self = shared_from_this();
  std::chrono::milliseconds pause = kFirstPause;
  while (!stopping_) {
    was_good_ = false;
    const auto ended = co_await serve();
    if (!ended) last_error_ = ended.error();
    fail_sent(not_connected());
    if (stopping_) break;
    complained_ = true;
    log_limiter_.log(observability::LogLevel::kWarn, "No connection to Redis",
                     {{"redis", describe(options_.server)}, {"error", last_error_.message}});
    if (was_good_) pause = kFirstPause;
    error_code cancelled;
    pause_.expires_after(with_jitter(pause));
    co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    pause = std::min(pause * 2, kLongestPause);
  }
  watch_timer_.cancel();
}

void RedisConnection::fail_sent(const Error& why) {
  std::deque<Request> failed = std::move(sent_);
  sent_.clear();
  for (Request& request : failed) {
    if (!request.handler) continue;
    request.handler->complete(unavailable(
        "the answer of Redis was lost, and the request may have been done: " + why.message));
  }
}

void RedisConnection::fail_impatient(SteadyTime now) {
  while (!waiting_.empty() && now - waiting_.front().since >= options_.patience) {
    Request request = std::move(waiting_.front());
    waiting_.pop_front();
    if (request.handler) request.handler->complete(not_connected());
  }
}

// Gives up on an answer that does not come and on a connection that is not made.
asio::awaitable<void> RedisConnection::watch() {
  const auto self = shared_from_this();
  while (!stopping_ || link_) {
    error_code cancelled;
    watch_timer_.expires_after(kWatchEvery);
    co_await watch_timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    const SteadyTime now = steady_now();
    if (!link_) {
      fail_impatient(now);
      continue;
    }
    if (!sent_.empty() && now - sent_.front().since >= options_.reply_timeout) {
      last_error_ = unavailable("Redis at " + describe(options_.server) + " does not answer");
      link_->close();
    } else if (options_.on_message && now - link_->last_ping >= kPingEvery && !stopping_) {
      link_->last_ping = now;
      RedisCommand ping(1);
      ping.add("PING");
      waiting_.push_back({ping.take(), nullptr, now, false});
      flush();
    }
  }
}

}  // namespace gpu_telemetry::queue
