// The byte stream under a session. Another kind (TLS) has these members too.
#pragma once

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <utility>

namespace gpu_telemetry::http {

// Completion tokens: errors come as values.
inline constexpr auto kAsTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

class TcpStream {
 public:
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp,
                                                  boost::asio::io_context::executor_type>;

  explicit TcpStream(Socket socket) : socket_(std::move(socket)) {
    boost::system::error_code ignored;  // a socket that is gone already says so at the first read
    socket_.non_blocking(true, ignored);
    socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  }

  // To be awaited: (error, bytes).
  auto read_some(boost::asio::mutable_buffer buffer) {
    return socket_.async_read_some(buffer, kAsTuple);
  }
  template <class Buffers>
  auto write_some(const Buffers& buffers) {
    return socket_.async_write_some(buffers, kAsTuple);
  }
  // Writes what fits without waiting; would_block when nothing does.
  template <class Buffers>
  std::size_t try_write(const Buffers& buffers, boost::system::error_code& error) {
    return socket_.write_some(buffers, error);
  }
  // Whether bytes have come that were not read.
  bool has_input() {
    boost::system::error_code error;
    return socket_.available(error) > 0 && !error;
  }

  // Calls `then(error_code)` when there is something to read: bytes, the end or an error.
  template <class Then>
  void when_readable(Then then) {
    socket_.async_wait(Socket::wait_read, std::move(then));
  }
  enum class Peek { kNothing, kBytes, kEnd };  // kEnd: also of a broken connection
  Peek peek() {
    char byte = 0;
    const ssize_t size =
        ::recv(socket_.native_handle(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (size > 0) return Peek::kBytes;
    const bool nothing = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return nothing ? Peek::kNothing : Peek::kEnd;
  }

  // Ends what is awaited with operation_aborted.
  void cancel() {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }
  void shutdown_send() {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  void close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

}  // namespace gpu_telemetry::http
