#include "http/session.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "http/encoding.h"
#include "http/response_head.h"
#include "http/worker.h"
#include "observability/log.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;

// A body up to this size is copied behind its head, so that one buffer leaves in one write.
constexpr std::size_t kCopiedBody = 16 << 10;
constexpr std::size_t kKeptCapacity = 64 << 10;
constexpr std::chrono::milliseconds kLingerTime{1000};
constexpr std::chrono::hours kForever{24 * 365};

void log_throw(std::string_view server, std::string_view id, std::string_view route,
               std::string_view what) {
  observability::log_error(
      "a handler threw: answering 500",
      {{"server", server}, {"request_id", id}, {"route", route}, {"error", what}});
}

void log_defect(std::string_view server, std::string_view id, std::string_view route,
                std::string_view defect) {
  observability::log_error(
      "a handler's response cannot be sent: answering 500",
      {{"server", server}, {"request_id", id}, {"route", route}, {"error", defect}});
}

void log_handshake(std::string_view server, std::string_view client, std::string_view why) {
  static observability::LogLimiter limiter;
  limiter.log(observability::LogLevel::kInfo, "no TLS connection with a client",
              {{"server", server}, {"remote_address", client}, {"error", why}});
}

}  // namespace

Session::Session(Worker& worker, Stream::Socket socket, std::shared_ptr<Stream::TlsContext> tls,
                 std::string remote_address, Welcome welcome)
    : worker_(worker),
      stream_(std::move(socket), std::move(tls)),
      remote_address_(std::move(remote_address)),
      welcome_(welcome),
      scanner_(HeadLimits{worker.state().options.max_target_size.bytes,
                          worker.state().options.max_header_size.bytes}) {
  worker_.add(*this);
}

Session::~Session() {
  let_go_of_body();
  worker_.remove(*this);
}

void Session::on_deadline() {
  timed_out_ = true;
  stream_.cancel();
}

void Session::arm(std::chrono::milliseconds timeout) {
  timed_out_ = false;
  const auto bounded = std::min<std::chrono::nanoseconds>(timeout, kForever);
  worker_.wheel().set(*this, std::chrono::steady_clock::now() + bounded);
}

void Session::drain() {
  if (phase_ == Phase::kIdle) stream_.cancel();
  tell_interrupted();
}

void Session::cut() {
  cut_ = true;
  stream_.close();
  tell_interrupted();
  cancellation_.emit(asio::cancellation_type::terminal);
}

asio::awaitable<void> Session::run() {
  if (stream_.is_tls()) {
    const bool agreed = co_await shake_hands();
    if (!agreed) {
      disarm();
      stream_.close();
      co_return;
    }
  }
  if (welcome_ == Welcome::kRefuse) {
    started_ = std::chrono::steady_clock::now();
    refuse(503, "the server has as many connections as it may");
    co_await respond();
  } else {
    bool more = true;
    while (more) {
      const bool understood = co_await read_head();
      more = false;
      if (understood) {
        more = co_await serve();
        if (more && !input_.empty()) co_await let_others_go_first();
      } else if (failure_) {
        co_await respond();
      }
    }
  }
  if (linger_) co_await linger();
  if (stream_.is_tls() && !linger_ && !cut_) co_await say_goodbye();
  disarm();
  stream_.close();
}

asio::awaitable<bool> Session::shake_hands() {
  arm(worker_.state().options.read_timeout);
  const auto [error] = co_await stream_.shake_hands();
  if (!error) co_return true;
  if (!cut_ && !worker_.draining()) {
    const std::string why =
        timed_out_ ? "it took too long" : tls::handshake_problem(stream_.tls_connection(), error);
    log_handshake(worker_.state().options.name, remote_address_, why);
  }
  co_return false;
}

asio::awaitable<void> Session::say_goodbye() {
  arm(kLingerTime);
  co_await stream_.say_goodbye();  // a client that is gone needs none
}

// A client that sends many requests at once is answered one at a time, between the others.
asio::awaitable<void> Session::let_others_go_first() {
  co_await asio::post(worker_.context(), asio::use_awaitable);
}

asio::awaitable<bool> Session::serve() {
  phase_ = Phase::kServing;
  const ServerOptions& options = worker_.state().options;
  std::uint64_t limit = options.max_body_size.bytes;
  if (route_ != nullptr && route_->max_body != 0) limit = route_->max_body;
  limit = std::min(limit, options.max_bodies.bytes);
  const bool has_body = framing_.chunked || framing_.content_length.value_or(0) > 0;
  if (route_ != nullptr && route_->gate) {
    if (auto refusal = route_->gate(request_)) {
      response_ = std::move(*refusal);
      linger_ = close_ = has_body;
      disarm();
      co_return co_await respond();
    }
  }
  if (has_body && route_ == nullptr) {
    linger_ = close_ = true;  // not worth reading
  } else if (has_body) {
    const bool whole = co_await read_body(limit);
    if (!whole && !failure_) co_return false;
  }
  disarm();
  if (!failure_) co_await handle();
  if (cut_) {
    error_ = "the server stopped";
    end_answer();
    record();
    co_return false;
  }
  co_return co_await respond();
}

// Takes the handler's function away with the handler: what it refers to is gone then.
struct ForgetOnReturn {
  std::function<void()>& function;
  ~ForgetOnReturn() { function = nullptr; }
};

asio::awaitable<void> Session::handle() {
  const ForgetOnReturn forget{notify_};
  request_.interruption = this;
  if (route_ == nullptr) {
    response_ = allow_.empty() ? problem(404, "there is no such resource")
                               : problem(405, "this resource answers only " + allow_);
    if (!allow_.empty()) response_.headers.add("Allow", allow_);
    co_return;
  }
  try {
    response_ = co_await route_->handler(request_);
    co_return;
  } catch (const std::exception& error) {
    if (!cut_) {
      log_throw(worker_.state().options.name, request_.id, route_->pattern, error.what());
    }
  } catch (...) {
    log_throw(worker_.state().options.name, request_.id, route_->pattern, "not a std::exception");
  }
  response_ = problem(internal("the handler threw"));
}

void Session::prepare_response() {
  const std::string_view defect = response_defect(response_);
  if (!defect.empty()) {
    log_defect(worker_.state().options.name, request_.id,
               route_ != nullptr ? std::string_view(route_->pattern) : "", defect);
    response_ = problem(internal("the handler's response is malformed"));
  }
  const bool bodiless = has_no_body(response_.status);
  const bool old_client = line_.minor_version == 0;
  const bool streamed = response_.stream != nullptr && !bodiless;
  if (worker_.draining() || framing_.close || (old_client && !framing_.keep_alive) ||
      (old_client && streamed)) {
    close_ = true;
  }
  ResponseFraming framing;
  framing.chunked = streamed && !old_client;
  if (!streamed && !bodiless) framing.content_length = response_.body.size();
  framing.close = close_;
  framing.say_keep_alive = old_client && !close_;
  framing.date = worker_.date();
  framing.request_id = request_.id;
  head_.clear();
  append_head(head_, response_, framing);
  const bool head_only = request_.method == Method::kHead || bodiless;
  with_stream_ = streamed && !head_only;
  output_ = Output{};
  if (!streamed && !head_only && response_.body.size() <= kCopiedBody) {
    head_ += response_.body;
  } else if (!streamed && !head_only) {
    output_[1] = asio::buffer(response_.body);
  }
  output_[0] = asio::buffer(head_);
}

asio::awaitable<bool> Session::respond() {
  phase_ = Phase::kServing;
  prepare_response();
  bool good = co_await send();
  if (good && with_stream_) good = co_await stream_body();
  end_answer();
  record();
  if (head_.capacity() > kKeptCapacity) head_ = std::string();
  response_ = Response{};
  co_return good && !close_;
}

Interruption::Why Session::why() const {
  if (client_left_) return Why::kClientLeft;
  return cut_ || worker_.draining() ? Why::kServerStops : Why::kNone;
}

void Session::notify(std::function<void()> then) {
  notify_ = std::move(then);
  if (notify_ == nullptr) return;
  if (why() == Why::kNone) {
    watch();
    return;
  }
  asio::post(worker_.context(), [self = shared_from_this(), answer = answer_] {
    if (self->answer_ == answer) self->tell_interrupted();
  });
}

void Session::tell_interrupted() {
  const std::function<void()> then = std::exchange(notify_, nullptr);
  if (then) then();
}

// Nothing is read while an answer is made, so the end of the client's stream has to be looked for.
void Session::watch() {
  if (watched_ == answer_) return;
  watched_ = answer_;
  stream_.when_readable(
      [self = shared_from_this(), answer = answer_](const boost::system::error_code& error) {
        self->on_readable(answer, error);
      });
}

void Session::on_readable(std::uint64_t answer, const boost::system::error_code& error) {
  if (error || answer != answer_) return;
  switch (stream_.peek()) {
    case Stream::Peek::kBytes:
      return;  // of the next request, which is read when its turn comes
    case Stream::Peek::kNothing:
      watched_ = 0;
      watch();
      return;
    case Stream::Peek::kEnd:
      client_left_ = true;
      tell_interrupted();
  }
}

void Session::end_answer() {
  notify_ = nullptr;
  if (watched_ == answer_) stream_.cancel();
  ++answer_;
}

void Session::record() {
  RequestRecord entry;
  entry.id = request_.id;
  entry.method = line_.method ? to_string(*line_.method) : std::string_view("-");
  entry.path = raw_path();
  entry.pattern = route_ != nullptr ? std::string_view(route_->pattern) : "unmatched";
  entry.remote_address = remote_address_;
  entry.status = response_.status;
  entry.duration = std::chrono::steady_clock::now() - started_;
  entry.bytes = bytes_sent_;
  entry.error = error_;
  worker_.recorder().record(entry);
}

std::string_view Session::raw_path() const {
  return std::string_view(raw_target_).substr(0, raw_target_.find('?'));
}

// Where a streamed body goes: into chunks, or to an HTTP/1.0 client as it is.
class Session::StreamWriter final : public BodyWriter {
 public:
  explicit StreamWriter(Session& session)
      : session_(session), chunked_(session.line_.minor_version == 1) {}

  asio::awaitable<Result<void>> write(std::string_view chunk) override {
    if (!failed_ && !chunk.empty()) {
      frame(chunk);
      const bool sent = co_await session_.send();
      failed_ = !sent;
    }
    if (failed_) co_return unavailable("the answer cannot be sent: " + std::string(why()));
    co_return Result<void>();
  }
  bool stopping() const override { return session_.cut_ || session_.worker_.draining(); }

  // The last chunk.
  asio::awaitable<bool> finish() {
    if (failed_ || !chunked_) co_return !failed_;
    session_.output_ = Output{asio::buffer("0\r\n\r\n", 5)};
    co_return co_await session_.send();
  }

 private:
  std::string_view why() const { return session_.error_; }

  void frame(std::string_view chunk) {
    session_.output_ = Output{};
    if (!chunked_) {
      session_.output_[0] = asio::buffer(chunk);
      return;
    }
    static constexpr char kHex[] = "0123456789abcdef";
    std::size_t at = size_line_.size();
    size_line_[--at] = '\n';
    size_line_[--at] = '\r';
    for (std::size_t size = chunk.size(); size != 0; size /= 16) size_line_[--at] = kHex[size % 16];
    session_.output_[0] = asio::buffer(size_line_.data() + at, size_line_.size() - at);
    session_.output_[1] = asio::buffer(chunk);
    session_.output_[2] = asio::buffer("\r\n", 2);
  }

  Session& session_;
  const bool chunked_;
  bool failed_ = false;
  std::array<char, 18> size_line_{};
};

asio::awaitable<bool> Session::stream_body() {
  const ForgetOnReturn forget{notify_};
  StreamWriter writer(*this);
  bool written = false;
  try {
    const Result<void> result = co_await response_.stream(writer);
    written = result.has_value();
    if (!written && error_.empty()) error_ = "the handler could not complete the stream";
  } catch (const std::exception& error) {
    error_ = cut_ ? "the server stopped" : "the handler threw while streaming";
    if (!cut_) log_throw(worker_.state().options.name, request_.id, route_->pattern, error.what());
  } catch (...) {
    error_ = "the handler threw while streaming";
    log_throw(worker_.state().options.name, request_.id, route_->pattern, "not a std::exception");
  }
  if (!written || cut_) co_return false;
  co_return co_await writer.finish();
}

Session::Sent Session::send_now() {
  boost::system::error_code error;
  const std::size_t size = stream_.try_write(output_, error);
  if (!error) return advance(size) ? Sent::kAll : Sent::kBlocked;
  if (error == asio::error::would_block || error == asio::error::try_again) return Sent::kBlocked;
  error_ = "the client is gone";
  return Sent::kFailed;
}

// Takes `size` sent bytes off the output; whether nothing is left.
bool Session::advance(std::size_t size) {
  bytes_sent_ += size;
  bool empty = true;
  for (asio::const_buffer& part : output_) {
    const std::size_t step = std::min(size, part.size());
    part += step;
    size -= step;
    if (part.size() > 0) empty = false;
  }
  return empty;
}

asio::awaitable<bool> Session::send() {
  unsent_ = std::max<std::uint64_t>(response_.body.size(), asio::buffer_size(output_));
  const Sent sent = send_now();
  if (sent != Sent::kBlocked) co_return sent == Sent::kAll;
  co_return co_await send_rest();
}

asio::awaitable<bool> Session::send_rest() {
  given_up_ = false;
  worker_.begin_unsent(*this);
  const bool sent = co_await send_as_it_is_read();
  worker_.end_unsent(*this);
  co_return sent;
}

void Session::give_up_answer() {
  given_up_ = true;
  stream_.cancel();
}

asio::awaitable<bool> Session::send_as_it_is_read() {
  bool complete = false;
  while (!complete) {
    arm(worker_.state().options.write_timeout);
    const auto [error, size] = co_await stream_.write_some(output_);
    complete = advance(size);
    if (error || (given_up_ && !complete)) {
      error_ = cut_                      ? "the server stopped"
               : timed_out_ || given_up_ ? "the client reads too slowly"
                                         : "the client is gone";
      co_return false;
    }
    worker_.note_progress(*this);
  }
  disarm();
  co_return true;
}

// After an answer that the client may get while it is still sending: a socket closed with unread
// bytes is reset, and a reset can overtake the answer (RFC 9112 section 9.6).
asio::awaitable<void> Session::linger() {
  stream_.shutdown_send();
  const auto end = std::chrono::steady_clock::now() + kLingerTime;
  arm(kLingerTime);
  bool open = true;
  while (open && std::chrono::steady_clock::now() < end) {
    input_.consume(input_.size());
    open = co_await read_more();
  }
}

}  // namespace gpu_telemetry::http
