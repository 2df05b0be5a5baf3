// An HTTP/1.1 server (RFC 9112): keep-alive, pipelining, chunked streaming, limits, graceful drain.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "domain/duration.h"
#include "domain/result.h"
#include "http/router.h"
#include "observability/log.h"

namespace gpu_telemetry::observability {
class Metrics;
}

namespace gpu_telemetry::tls {
class TlsContext;
}

namespace gpu_telemetry::http {

// Whether who listens on `host` is reached from this machine only.
bool is_loopback(std::string_view host);

struct ServerOptions {
  std::string name = "api";        // in logs and the `server` label of metrics
  std::string host = "127.0.0.1";  // an address, or a name that resolves to one; "::" for all
  std::uint16_t port = 8080;       // 0: any free one; Server::port() tells
  unsigned threads = 0;            // io_contexts, each with its own acceptor; 0: one a core
  // Past it new ones get 503 and are closed. Fewer where the process may not open so many files: of
  // those a half, at most 256, are left for others, and the log says so.
  std::uint32_t max_connections = 10'000;
  ByteSize max_header_size = 16_KiB;  // 431 past it
  ByteSize max_target_size = 8_KiB;   // 414 past it
  ByteSize max_body_size = 1_MiB;     // 413 past it
  // That the process may use. Of it connections, bodies and unread answers may each fill an eighth,
  // whatever their limits here say; zero: nobody knows.
  ByteSize memory;
  // All bodies of requests together, from where they are read until they are answered; 503 past it.
  ByteSize max_bodies = 512_MiB;
  // All answers that wait for their clients to read; past it those that waited longest are cut.
  ByteSize max_unsent = 256_MiB;
  std::chrono::milliseconds read_timeout = std::chrono::seconds{15};   // for a whole request; 408
  std::chrono::milliseconds write_timeout = std::chrono::seconds{30};  // for each write
  std::chrono::milliseconds idle_timeout = std::chrono::seconds{75};   // between requests
  // HTTPS with it; null: HTTP.
  std::shared_ptr<tls::TlsContext> tls;
  observability::Metrics* metrics = nullptr;  // null: not counted
  bool log_requests = true;
  // Of a request that did not fail; one that did (500 and above) is a warning.
  observability::LogLevel log_level = observability::LogLevel::kInfo;
};

// Handlers run on the server's own threads and must not block them. What a handler throws is a 500.
class Server {
 public:
  // Binds and listens, and answers nothing yet. Errors: kConflict (the address is in use),
  // kInvalid (no such address), kUnavailable; each names host and port.
  static Result<std::unique_ptr<Server>> listen(ServerOptions options, Router router);
  virtual ~Server() = default;  // stops at once when still running

  // Starts the threads and accepts. Returns at once.
  virtual void start() = 0;
  // The port that is bound.
  virtual std::uint16_t port() const = 0;
  // Stops accepting, lets running requests end (each answered with `Connection: close`), closes
  // idle connections, and cuts what is left after `grace`. Blocks until all threads have ended.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace gpu_telemetry::http
