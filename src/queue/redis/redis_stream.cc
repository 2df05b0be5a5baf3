#include "queue/redis/redis_stream.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "domain/clock.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::queue {

namespace asio = boost::asio;
using asio::redirect_error;
using asio::use_awaitable;
using boost::system::error_code;
using TlsSocket = asio::ssl::stream<asio::ip::tcp::socket>;

namespace {

template <class Socket>
class StreamOver final : public RedisStream {
 public:
  template <class... Arguments>
  explicit StreamOver(Arguments&&... arguments) : socket_(std::forward<Arguments>(arguments)...) {}

  asio::awaitable<std::size_t> read_some(asio::mutable_buffer into, error_code& error) override {
    co_return co_await socket_.async_read_some(into, redirect_error(use_awaitable, error));
  }
  asio::awaitable<void> write(const std::vector<asio::const_buffer>& bytes,
                              error_code& error) override {
    co_await asio::async_write(socket_, bytes, redirect_error(use_awaitable, error));
  }
  void close() override {
    error_code ignored;
    socket_.lowest_layer().close(ignored);
  }
  Socket& socket() { return socket_; }

 private:
  Socket socket_;
};

// The TLS context has to live as long as its stream.
class TlsStream final : public RedisStream {
 public:
  TlsStream(const asio::any_io_executor& strand, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)), stream_(strand, *context_) {}
  asio::awaitable<std::size_t> read_some(asio::mutable_buffer into, error_code& error) override {
    return stream_.read_some(into, error);
  }
  asio::awaitable<void> write(const std::vector<asio::const_buffer>& bytes,
                              error_code& error) override {
    return stream_.write(bytes, error);
  }
  void close() override { stream_.close(); }
  TlsSocket& socket() { return stream_.socket(); }

 private:
  const std::shared_ptr<asio::ssl::context> context_;
  StreamOver<TlsSocket> stream_;
};

Error cannot_connect(const RedisServer& server, const std::string& why) {
  return unavailable("cannot connect to Redis at " + describe(server) + ": " + why);
}

// Closes what is being connected when its time is over.
class Deadline {
 public:
  Deadline(const asio::any_io_executor& strand, std::chrono::milliseconds timeout,
           std::function<void()> close)
      : timer_(strand, timeout), state_(std::make_shared<State>()) {
    state_->close = std::move(close);
    timer_.async_wait([state = state_](error_code error) {
      if (error || !state->close) return;
      state->passed = true;
      state->close();
    });
  }
  ~Deadline() { state_->close = nullptr; }
  bool passed() const { return state_->passed; }

 private:
  struct State {
    std::function<void()> close;
    bool passed = false;
  };
  asio::steady_timer timer_;
  std::shared_ptr<State> state_;
};

asio::awaitable<Result<std::shared_ptr<RedisStream>>> connect_local(
    const RedisServer& server, const asio::any_io_executor& strand) {
  using Protocol = asio::local::stream_protocol;
  if (server.unix_path.size() > 107) {
    co_return invalid("\"" + server.unix_path + "\" is too long for a Unix socket: 107 bytes");
  }
  auto stream = std::make_shared<StreamOver<Protocol::socket>>(strand);
  error_code error;
  const Protocol::endpoint endpoint(server.unix_path);
  co_await stream->socket().async_connect(endpoint, redirect_error(use_awaitable, error));
  if (error) co_return cannot_connect(server, error.message());
  co_return std::shared_ptr<RedisStream>(std::move(stream));
}

asio::awaitable<error_code> connect_tcp(const RedisServer& server, asio::ip::tcp::socket& socket,
                                        const asio::any_io_executor& strand) {
  error_code error;
  asio::ip::tcp::resolver resolver(strand);
  const auto found = co_await resolver.async_resolve(server.host, std::to_string(server.port),
                                                     redirect_error(use_awaitable, error));
  if (error) co_return error;
  co_await asio::async_connect(socket, found, redirect_error(use_awaitable, error));
  if (error) co_return error;
  error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  co_return error;
}

asio::awaitable<Result<std::shared_ptr<RedisStream>>> connect_tls(
    const RedisServer& server, const asio::any_io_executor& strand,
    std::chrono::milliseconds timeout) {
  // Anew for each connection, which is rare: its file may have changed.
  auto context = tls::TlsContext::for_client(server.ca_file, system_clock());
  if (!context) co_return context.error();
  auto stream = std::make_shared<TlsStream>(strand, (*context)->current());
  TlsSocket& tls = stream->socket();
  tls.set_verify_callback(asio::ssl::host_name_verification(server.host));
  SSL_set_tlsext_host_name(tls.native_handle(), server.host.c_str());
  const Deadline deadline(strand, timeout, [weak = std::weak_ptr(stream)] {
    if (const auto held = weak.lock()) held->close();
  });
  error_code error = co_await connect_tcp(server, tls.next_layer(), strand);
  const bool connected = !error;
  if (connected) {
    co_await tls.async_handshake(asio::ssl::stream_base::client,
                                 redirect_error(use_awaitable, error));
  }
  if (deadline.passed()) co_return cannot_connect(server, "no answer in time");
  if (error) {
    co_return cannot_connect(
        server, connected ? tls::handshake_problem(tls.native_handle(), error) : error.message());
  }
  co_return std::shared_ptr<RedisStream>(std::move(stream));
}

}  // namespace

std::string describe(const RedisServer& server) {
  if (!server.unix_path.empty()) return server.unix_path;
  const bool v6 = server.host.find(':') != std::string::npos;
  return (v6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
}

asio::awaitable<Result<std::shared_ptr<RedisStream>>> connect_to_redis(
    const RedisServer& server, asio::any_io_executor strand, std::chrono::milliseconds timeout) {
  if (!server.unix_path.empty()) co_return co_await connect_local(server, strand);
  if (server.tls) co_return co_await connect_tls(server, strand, timeout);
  auto stream = std::make_shared<StreamOver<asio::ip::tcp::socket>>(strand);
  const Deadline deadline(strand, timeout, [weak = std::weak_ptr(stream)] {
    if (const auto held = weak.lock()) held->close();
  });
  const error_code error = co_await connect_tcp(server, stream->socket(), strand);
  if (deadline.passed()) co_return cannot_connect(server, "no answer in time");
  if (error) co_return cannot_connect(server, error.message());
  co_return std::shared_ptr<RedisStream>(std::move(stream));
}

}  // namespace gpu_telemetry::queue
