// The REST API: what GPUs there are and what each of them did.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "domain/clock.h"
#include "domain/result.h"
#include "http/server.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "services/api_gateway/freshness.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

struct ApiGatewayOptions {
  http::ServerOptions server;
  // Threads that read storage: so many questions are answered at once.
  unsigned readers = 4;
  // Questions that may wait for a reader; past them the answer is 503.
  unsigned max_waiting = 256;
  // Awaited before the text of /metrics is made; may be empty.
  std::function<boost::asio::awaitable<void>()> before_metrics;
};

// What handlers need, owned by the gateway.
struct ApiContext {
  storage::TelemetryRepository& telemetry;
  storage::GpuRepository& gpus;
  ScrapeIntervals& intervals;
  const Clock& clock;
  observability::Health& health;
  observability::Metrics& metrics;
  std::function<boost::asio::awaitable<void>()> before_metrics;
  boost::asio::thread_pool& readers;
  std::atomic<unsigned>& busy_readers;  // running or waiting
  unsigned max_busy_readers;
};

class ApiGateway {
 public:
  // Binds the port. References outlive the gateway. Errors: as http::Server::listen.
  static Result<std::unique_ptr<ApiGateway>> listen(ApiGatewayOptions options,
                                                    storage::TelemetryRepository& telemetry,
                                                    storage::GpuRepository& gpus,
                                                    const Clock& clock,
                                                    observability::Health& health,
                                                    observability::Metrics& metrics);
  ~ApiGateway();

  void start() { server_->start(); }
  std::uint16_t port() const { return server_->port(); }
  // Blocks; see http::Server::stop.
  void stop(std::chrono::milliseconds grace) { server_->stop(grace); }

 private:
  ApiGateway(unsigned readers, storage::TelemetryRepository& telemetry, const Clock& clock)
      : intervals_(telemetry, clock), readers_(readers) {}

  ScrapeIntervals intervals_;
  boost::asio::thread_pool readers_;
  std::atomic<unsigned> busy_readers_{0};
  std::unique_ptr<ApiContext> context_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace gpu_telemetry::services
