// The REST API: what GPUs there are and what each of them did.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "domain/clock.h"
#include "domain/result.h"
#include "http/server.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"
#include "services/api_gateway/freshness.h"
#include "services/api_gateway/front_door.h"
#include "services/api_gateway/live_tail.h"
#include "services/api_gateway/pipeline_rates.h"
#include "services/api_gateway/storage_probe.h"
#include "services/openapi/openapi.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// What the gateway shows of the way from the streamers to storage.
struct PipelineOptions {
  queue::MessageQueue* queue = nullptr;  // null: none is configured; used until stop() returns
  // Whose dead letters and consumers are meant when nothing is said.
  std::string topic = "telemetry";
  std::string consumer_group = "collectors";
  // How many samples this process has stored; empty: it does not store.
  std::function<std::optional<std::uint64_t>()> samples_stored;
};

struct ApiGatewayOptions {
  http::ServerOptions server;
  // Threads that read storage: so many questions are answered at once.
  unsigned readers = 4;
  // Questions that may wait for a reader; past them the answer is 503.
  unsigned max_waiting = 256;
  FrontDoorOptions front_door;
  PipelineOptions pipeline;
  // How often storage is looked at for those who read the live tail.
  std::chrono::milliseconds tail_interval = std::chrono::seconds{1};
  // Awaited before the text of /metrics is made; may be empty.
  std::function<boost::asio::awaitable<void>()> before_metrics;
  // Adds what else this process serves on the port, which neither the front door guards nor the
  // document describes; may be empty.
  std::function<Result<void>(http::Router&)> more_routes;
};

// What handlers need, owned by the gateway.
struct ApiContext {
  storage::TelemetryRepository& telemetry;
  storage::GpuRepository& gpus;
  ScrapeIntervals& intervals;
  LiveTail& tail;
  PipelineOptions pipeline;
  PipelineHistory& pipeline_history;
  bool may_change = false;  // whether what changes something is answered at all
  const Clock& clock;
  boost::asio::thread_pool& readers;
  std::atomic<unsigned>& busy_readers;  // running or waiting
  unsigned max_busy_readers;
};

class FleetGauges;

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
  // What is served as /openapi.json and /openapi.yaml.
  const OpenApiDocument& document() const { return *document_; }
  // Blocks; see http::Server::stop.
  void stop(std::chrono::milliseconds grace) { server_->stop(grace); }

 private:
  ApiGateway(const ApiGatewayOptions& options, storage::TelemetryRepository& telemetry,
             storage::GpuRepository& gpus, const Clock& clock);

  ScrapeIntervals intervals_;
  PipelineHistory pipeline_history_;
  LiveTail tail_;
  boost::asio::thread_pool readers_;
  std::atomic<unsigned> busy_readers_{0};
  StorageProbe probe_;
  FrontDoor front_door_;
  std::shared_ptr<OpenApiDocument> document_ = std::make_shared<OpenApiDocument>();
  std::unique_ptr<ApiContext> context_;
  std::unique_ptr<FleetGauges> fleet_gauges_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace gpu_telemetry::services
