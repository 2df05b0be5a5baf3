// One connection of a client, and one request over it.
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "domain/result.h"
#include "http/client.h"
#include "http/head_parser.h"
#include "http/input_buffer.h"

namespace gpu_telemetry::http {

// Requests run on strands by their own type: one wrapped in an any_io_executor would share a
// counter between threads that thread sanitizers cannot follow, and cost an allocation.
using Strand = boost::asio::strand<boost::asio::any_io_executor>;
template <class T>
using StrandAwaitable = boost::asio::awaitable<T, Strand>;

// Where a client's requests go.
struct Origin {
  bool tls = false;
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string authority;    // the Host header
  std::string path_prefix;  // put before every target; empty, or "/x" without a slash at its end

  std::string url() const { return (tls ? "https://" : "http://") + authority + path_prefix; }

  // Errors: kInvalid for anything but http[s]://HOST[:PORT][/PATH].
  static Result<Origin> parse(std::string_view url);
};

class ClientConnection {
 public:
  explicit ClientConnection(const boost::asio::any_io_executor& executor) : socket(executor) {}

  // Whether the peer has closed it, or sent what nobody asked for, while it was idle.
  bool stale();
  // From here on what is sent and read is in TLS: `host` has to be named by the peer's certificate.
  StrandAwaitable<Result<void>> begin_tls(std::shared_ptr<boost::asio::ssl::context> context,
                                          const std::string& host);

  // To be awaited: (error, bytes).
  using Outcome = std::tuple<boost::system::error_code, std::size_t>;
  StrandAwaitable<Outcome> read_some(boost::asio::mutable_buffer room);
  StrandAwaitable<Outcome> write(const std::array<boost::asio::const_buffer, 2>& parts);

  boost::asio::ip::tcp::socket socket;
  InputBuffer input;
  std::chrono::steady_clock::time_point idle_since;

 private:
  struct Tls {
    Tls(boost::asio::ip::tcp::socket& socket, std::shared_ptr<boost::asio::ssl::context> made_by)
        : context(std::move(made_by)), stream(socket, *context) {}
    const std::shared_ptr<boost::asio::ssl::context> context;
    boost::asio::ssl::stream<boost::asio::ip::tcp::socket&> stream;
  };
  std::unique_ptr<Tls> tls_;
};

// A request on its way. Runs on one strand, which its timer shares.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Exchange(const Strand& strand, const Origin& origin, const ClientOptions& options,
           const ClientRequest& request);

  StrandAwaitable<Result<void>> connect();
  void use(std::unique_ptr<ClientConnection> pooled) { connection_ = std::move(pooled); }
  // Sends the request and reads the answer.
  StrandAwaitable<Result<ClientResponse>> converse();
  // The connection, when it is good for another request.
  std::unique_ptr<ClientConnection> take_connection();
  // From here on the request's hang-up ends it.
  void heed_hangup();
  // No more than the timer's last call comes after this.
  void finish();

  // Whether the connection ended before a byte of an answer came, and not because of a time-out.
  bool closed_unanswered() const { return closed_unanswered_ && !timed_out_; }

 private:
  void arm(Time deadline);
  void close_sending_half();
  Error broken(std::string_view doing, const boost::system::error_code& error) const;
  Error refused(const HeadProblem& problem) const;
  Error too_large() const;
  void build_head();
  StrandAwaitable<Result<void>> write_request();
  StrandAwaitable<Result<void>> read_more();
  StrandAwaitable<Result<void>> read_head();
  StrandAwaitable<Result<void>> read_body();
  StrandAwaitable<Result<void>> read_sized_body(std::size_t length);
  StrandAwaitable<Result<void>> read_chunked_body();
  StrandAwaitable<Result<void>> read_body_until_close();

  const Strand strand_;
  const Origin& origin_;
  const ClientOptions& options_;
  const ClientRequest& request_;
  const Time end_;  // of the whole request
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer timer_;
  Time deadline_;
  bool finished_ = false;
  bool timed_out_ = false;
  bool closed_unanswered_ = false;
  bool reusable_ = false;
  bool hung_up_ = false;
  bool written_ = false;
  std::unique_ptr<ClientConnection> connection_;
  std::string head_;
  StatusLine status_;
  Framing framing_;
  ClientResponse response_;
};

}  // namespace gpu_telemetry::http
