// The byte stream under a session: TCP, or TLS over it.
#pragma once

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <memory>
#include <tuple>
#include <utility>

namespace gpu_telemetry::http {

// Completion tokens: errors come as values.
inline constexpr auto kAsTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

class Stream {
 public:
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp,
                                                  boost::asio::io_context::executor_type>;
  using TlsContext = boost::asio::ssl::context;
  using Outcome = std::tuple<boost::system::error_code, std::size_t>;

  // What the kernel takes beyond what is on its way. Its own limit is some MiB: memory for each
  // client that does not read, and as long a copy in one turn of the loop.
  static constexpr int kMostUnsent = 256 << 10;

  // TLS when there is a context.
  Stream(Socket socket, std::shared_ptr<TlsContext> context) : socket_(std::move(socket)) {
    boost::system::error_code ignored;  // a socket that is gone already says so at the first read
    socket_.non_blocking(true, ignored);
    socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
    const int unsent = kMostUnsent;  // where it cannot be set, the kernel's own limit holds
    ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    if (context != nullptr) tls_ = std::make_unique<Tls>(socket_, std::move(context));
  }
  // TLS refers to the socket.
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool is_tls() const { return tls_ != nullptr; }
  // Only of TLS: before anything else; and last, which tells the client that nothing was cut off
  // and waits until it has agreed.
  boost::asio::awaitable<std::tuple<boost::system::error_code>> shake_hands() {
    return tls_->stream.async_handshake(boost::asio::ssl::stream_base::server, kAsTuple);
  }
  boost::asio::awaitable<std::tuple<boost::system::error_code>> say_goodbye() {
    return tls_->stream.async_shutdown(kAsTuple);
  }
  SSL* tls_connection() { return tls_->stream.native_handle(); }

  boost::asio::awaitable<Outcome> read_some(boost::asio::mutable_buffer buffer) {
    if (tls_) return tls_->stream.async_read_some(buffer, kAsTuple);
    return socket_.async_read_some(buffer, kAsTuple);
  }
  template <class Buffers>
  boost::asio::awaitable<Outcome> write_some(const Buffers& buffers) {
    if (tls_) return tls_->stream.async_write_some(buffers, kAsTuple);
    return socket_.async_write_some(buffers, kAsTuple);
  }
  // Writes what fits without waiting; would_block when nothing does, as always with TLS, whose
  // records must not be left half written.
  template <class Buffers>
  std::size_t try_write(const Buffers& buffers, boost::system::error_code& error) {
    if (!tls_) return socket_.write_some(buffers, error);
    error = boost::asio::error::would_block;
    return 0;
  }
  // Whether bytes have come that were not read.
  bool has_input() {
    if (tls_ && SSL_pending(tls_->stream.native_handle()) > 0) return true;
    boost::system::error_code error;
    return socket_.available(error) > 0 && !error;
  }

  // Calls `then(error_code)` when there is something to read: bytes, the end or an error. With TLS,
  // when bytes are there already, a little later: they may be the goodbye before the end.
  template <class Then>
  void when_readable(Then then) {
    if (tls_ && tls_->has_unread) {
      constexpr std::chrono::milliseconds kLater{100};
      tls_->later.expires_after(kLater);
      tls_->later.async_wait(std::move(then));
    } else {
      socket_.async_wait(Socket::wait_read, std::move(then));
    }
  }
  enum class Peek { kNothing, kBytes, kEnd };  // kEnd: also of a broken connection
  Peek peek() {
    char byte = 0;
    const ssize_t size =
        ::recv(socket_.native_handle(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (size > 0 && tls_) return peek_behind_bytes();
    if (size > 0) return Peek::kBytes;
    const bool nothing = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return nothing ? Peek::kNothing : Peek::kEnd;
  }

  // Ends what is awaited with operation_aborted.
  void cancel() {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    if (tls_) tls_->later.cancel();
  }
  void shutdown_send() {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    if (tls_) tls_->later.cancel();
  }

 private:
  struct Tls {
    Tls(Socket& socket, std::shared_ptr<TlsContext> made_by)
        : context(std::move(made_by)), stream(socket, *context), later(socket.get_executor()) {}

    const std::shared_ptr<TlsContext> context;
    boost::asio::ssl::stream<Socket&> stream;
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>
        later;
    bool has_unread = false;
  };

  // What an encrypted record says cannot be seen, but that the client sends nothing behind it can.
  Peek peek_behind_bytes() {
    pollfd asked{socket_.native_handle(), POLLRDHUP, 0};
    tls_->has_unread = true;
    const bool ended = ::poll(&asked, 1, 0) > 0;
    return ended ? Peek::kEnd : Peek::kNothing;
  }

  Socket socket_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace gpu_telemetry::http
