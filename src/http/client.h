// An HTTP/1.1 client with pooled connections and a deadline on every request.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "domain/duration.h"
#include "domain/result.h"
#include "http/message.h"

namespace gpu_telemetry::tls {
class TlsContext;
}

namespace gpu_telemetry::http {

struct ClientOptions {
  // "http://queue-service:8080", or https; a path in it is put before every target.
  std::string base_url;
  // For https: whom to trust; null: the system's authorities. The certificate has to name the host
  // of the URL.
  std::shared_ptr<tls::TlsContext> tls;
  std::size_t max_idle_connections = 16;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds{5};
  std::chrono::milliseconds idle_timeout = std::chrono::seconds{30};
  ByteSize max_response_size = 256_MiB;
};

// Ends requests early without breaking them off: their connections' sending halves are closed,
// which tells the server that nobody waits any longer, and what it still answers is returned as
// usual. Of a request that has not left yet, send() returns kCancelled. Thread-safe.
class Hangup {
 public:
  void hang_up();
  // For the client. `then` is called once, by hang_up() or at once when that was called already.
  void on_hang_up(std::function<void()> then);

 private:
  std::mutex mutex_;
  bool hung_up_ = false;
  std::vector<std::function<void()>> then_;
};

struct ClientRequest {
  Method method = Method::kGet;
  std::string target = "/";  // path and query, encoded
  Headers headers;
  std::string body;
  std::chrono::milliseconds timeout = std::chrono::seconds{30};  // connect to last byte
  // Whether a connection that turns out closed before any byte of an answer may be replaced and the
  // request sent again. True only for requests that are safe to do twice.
  bool idempotent = true;
  std::shared_ptr<Hangup> hangup;  // may be null
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

// Functions may be called from any thread; each resumes on its caller's executor. Connections live
// on the executor given to create(), whose context must outlive the client. A cancelled send()
// closes its connection and throws operation_aborted, as Asio's coroutines do; the others are not
// touched.
class Client {
 public:
  // Errors: kInvalid for a URL that is not http[s]://HOST[:PORT][/PATH].
  static Result<std::shared_ptr<Client>> create(ClientOptions options,
                                                boost::asio::any_io_executor executor);
  virtual ~Client() = default;
  // Any answer is a value, whatever its status. Errors: kUnavailable (no connection, a certificate
  // that is not accepted, time-out, cut
  // answer), kFull (answer too large), kCorrupt (not HTTP), kCancelled (hung up before it left).
  virtual boost::asio::awaitable<Result<ClientResponse>> send(ClientRequest request) = 0;
};

}  // namespace gpu_telemetry::http
