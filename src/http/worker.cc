#include "http/worker.h"

#include <prometheus/gauge.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "http/response_head.h"
#include "observability/log.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds kAcceptPause{50};
// Connections that are taken in one turn of the loop: with one, many busy connections would keep
// new ones waiting for as many turns as there are before them.
constexpr int kAcceptedAtOnce = 64;

// An eighth of the shortest time-out, so that none is off by more; between 5 and 250 ms.
std::chrono::nanoseconds tick_length(const ServerOptions& options) {
  const auto shortest =
      std::min({options.read_timeout, options.write_timeout, options.idle_timeout});
  return std::clamp<std::chrono::nanoseconds>(shortest / 8, std::chrono::milliseconds{5},
                                              std::chrono::milliseconds{250});
}

std::string address_text(const Stream::Socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "";
  const asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

void log_accept_error(std::string_view server, const boost::system::error_code& error) {
  static observability::LogLimiter limiter;
  limiter.log(observability::LogLevel::kError, "cannot accept connections",
              {{"server", server}, {"error", error.message()}});
}

void log_given_up(std::string_view server, std::uint64_t room) {
  static observability::LogLimiter limiter;
  limiter.log(observability::LogLevel::kWarn,
              "answers that clients do not read fill their room: the slowest is given up",
              {{"server", server}, {"room_bytes", room}});
}

}  // namespace

Worker::Worker(ServerState& state)
    : state_(state),
      recorder_(state.options.name, state.options.metrics, state.options.log_requests,
                state.options.log_level),
      wheel_(std::chrono::steady_clock::now(), tick_length(state.options)) {
  std::random_device random;
  next_id_ = (static_cast<std::uint64_t>(random()) << 32) | random();
  refresh_date();
}

Worker::~Worker() { finish(); }

void Worker::start() {
  asio::co_spawn(context_, accept_loop(), asio::detached);
  asio::co_spawn(context_, tick_loop(), asio::detached);
  thread_ = std::thread([this] { run(); });
}

void Worker::run() {
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception& error) {
      observability::log_error("an exception reached a server's loop",
                               {{"server", state_.options.name}, {"error", error.what()}});
    }
  }
}

void Worker::drain() {
  asio::post(context_, [this] {
    accept_backlog();
    for (Session& session : sessions_) session.drain();
  });
}

void Worker::cut() {
  asio::post(context_, [this] {
    std::vector<std::shared_ptr<Session>> sessions;  // one may end while another is cut
    for (Session& session : sessions_) sessions.push_back(session.shared_from_this());
    for (const auto& session : sessions) session->cut();
  });
}

void Worker::finish() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

asio::awaitable<void> Worker::accept_loop() {
  asio::steady_timer pause(context_);
  while (acceptor_.is_open()) {
    auto [error, socket] = co_await acceptor_.async_accept(kAsTuple);
    if (!error) {
      admit(std::move(socket));
      admit_waiting(kAcceptedAtOnce);
    } else if (acceptor_.is_open() && error != asio::error::connection_aborted) {
      log_accept_error(state_.options.name, error);  // out of file descriptors or memory
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kAsTuple);
    }
  }
}

// Connections that the kernel has accepted would be reset by closing; they are served instead.
void Worker::accept_backlog() {
  boost::system::error_code error;
  acceptor_.cancel(error);
  admit_waiting(std::numeric_limits<int>::max());
  acceptor_.close(error);
}

void Worker::admit_waiting(int most) {
  boost::system::error_code error;
  acceptor_.non_blocking(true, error);
  for (int i = 0; i < most && !error; ++i) {
    Socket socket(context_);
    acceptor_.accept(socket, error);
    if (!error) admit(std::move(socket));
  }
}

void Worker::admit(Socket socket) {
  auto welcome = Session::Welcome::kServe;
  if (state_.connections.fetch_add(1) >= state_.max_connections) {
    state_.connections.fetch_sub(1);
    if (state_.refused.fetch_add(1) >= state_.max_refused) {
      state_.refused.fetch_sub(1);
      return;
    }
    welcome = Session::Welcome::kRefuse;
  }
  std::string address = address_text(socket);
  auto tls = state_.options.tls != nullptr ? state_.options.tls->current() : nullptr;
  const auto session = std::make_shared<Session>(*this, std::move(socket), std::move(tls),
                                                 std::move(address), welcome);
  auto ended = [session, server = state_.options.name](const std::exception_ptr&) {
    // Nothing but a cut makes run() throw, and that is logged with the request.
  };
  asio::co_spawn(context_, session->run(),
                 asio::bind_cancellation_slot(session->cancellation().slot(), std::move(ended)));
}

void Worker::add(Session& session) {
  if (sessions_.empty()) {
    refresh_date();
    ticker_.cancel();  // it slept while there was nothing to time
  }
  sessions_.push_back(session);
  if (state_.open_connections != nullptr) state_.open_connections->Increment();
}

void Worker::remove(Session& session) {
  end_unsent(session);  // of a coroutine that was destroyed where it waited
  sessions_.erase(sessions_.iterator_to(session));
  if (state_.open_connections != nullptr) state_.open_connections->Decrement();
  auto& count = session.welcome() == Session::Welcome::kServe ? state_.connections : state_.refused;
  count.fetch_sub(1);
  if (!draining()) return;
  const std::lock_guard lock(state_.mutex);
  state_.session_ended.notify_all();
}

bool Worker::hold_body(std::uint64_t size) {
  if (state_.bodies.fetch_add(size) + size <= state_.options.max_bodies.bytes) return true;
  state_.bodies.fetch_sub(size);
  return false;
}

void Worker::let_go_of_body(std::uint64_t size) { state_.bodies.fetch_sub(size); }

void Worker::begin_unsent(Session& session) {
  unsent_.push_back(session);
  unsent_bytes_ += session.unsent();
  while (unsent_bytes_ > state_.max_unsent && &unsent_.front() != &session) {
    Session& slowest = unsent_.front();
    end_unsent(slowest);
    slowest.give_up_answer();
    log_given_up(state_.options.name, state_.max_unsent);
  }
}

void Worker::note_progress(Session& session) {
  if (!session.unsent_hook.is_linked()) return;
  unsent_.splice(unsent_.end(), unsent_, unsent_.iterator_to(session));
}

void Worker::end_unsent(Session& session) {
  if (!session.unsent_hook.is_linked()) return;
  unsent_.erase(unsent_.iterator_to(session));
  unsent_bytes_ -= session.unsent();
}

asio::awaitable<void> Worker::tick_loop() {
  for (;;) {
    refresh_date();
    const SteadyTime next = wheel_.tick(std::chrono::steady_clock::now());
    ticker_.expires_at(sessions_.empty() ? SteadyTime::max() : next);
    co_await ticker_.async_wait(kAsTuple);
  }
}

void Worker::refresh_date() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  date_ = imf_fixdate(std::chrono::floor<std::chrono::seconds>(now).count());
}

std::string Worker::make_request_id() {
  static constexpr char kHex[] = "0123456789abcdef";
  // SplitMix64's finaliser: a counter's steps look unrelated.
  std::uint64_t bits = next_id_ += 0x9E3779B97F4A7C15ULL;
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9ULL;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBULL;
  bits ^= bits >> 31;
  std::string id(16, '0');
  for (char& digit : id) {
    digit = kHex[bits & 15];
    bits >>= 4;
  }
  return id;
}

}  // namespace gpu_telemetry::http
