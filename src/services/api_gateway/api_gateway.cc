#include "services/api_gateway/api_gateway.h"

#include <map>
#include <utility>
#include <vector>

#include "services/api_gateway/documents.h"
#include "services/api_gateway/fleet_gauges.h"
#include "services/api_gateway/routes.h"
#include "services/status/status_routes.h"
#include "services/web/web_routes.h"

namespace gpu_telemetry::services {
namespace {

boost::asio::awaitable<std::vector<observability::Health::Check>> ask_storage(StorageProbe& probe) {
  const Result<void> storage = co_await probe.ask();
  observability::Health::Check check;
  check.name = "storage";
  check.ok = storage.has_value();
  if (!storage) check.reason = storage.error().message;
  std::vector<observability::Health::Check> checks;
  checks.push_back(std::move(check));
  co_return checks;
}

boost::asio::awaitable<void> update_all(const std::function<boost::asio::awaitable<void>()>& other,
                                        FleetGauges& fleet) {
  if (other) co_await other();
  co_await fleet.update();
}

// Without tokens anybody who reaches the port may do what it answers.
bool may_change(const ApiGatewayOptions& options) {
  return options.front_door.tokens != nullptr || http::is_loopback(options.server.host);
}

// The same routes with the door before them.
Result<http::Router> guard(const http::Router& router, FrontDoor& door) {
  http::Router guarded;
  std::map<std::string, std::string> methods;  // by pattern
  for (const http::Route& route : router.routes()) {
    std::string& list = methods[route.pattern];
    if (!list.empty()) list += ", ";
    list += http::to_string(route.method);
    if (auto added = guarded.add(door.guard(route)); !added) return added.error();
  }
  if (!door.has_cors()) return guarded;
  for (const auto& [pattern, list] : methods) {
    if (auto added = guarded.add(door.preflight(pattern, list)); !added) return added.error();
  }
  return guarded;
}

}  // namespace

ApiGateway::ApiGateway(const ApiGatewayOptions& options, storage::TelemetryRepository& telemetry,
                       storage::GpuRepository& gpus, const Clock& clock)
    : intervals_(telemetry, clock),
      tail_(telemetry, gpus, clock, options.tail_interval),
      readers_(options.readers),
      probe_(telemetry, readers_),
      front_door_(options.front_door, clock, readers_) {}

Result<std::unique_ptr<ApiGateway>> ApiGateway::listen(ApiGatewayOptions options,
                                                       storage::TelemetryRepository& telemetry,
                                                       storage::GpuRepository& gpus,
                                                       const Clock& clock,
                                                       observability::Health& health,
                                                       observability::Metrics& metrics) {
  std::unique_ptr<ApiGateway> gateway(new ApiGateway(options, telemetry, gpus, clock));
  gateway->context_.reset(
      new ApiContext{telemetry, gpus, gateway->intervals_, gateway->tail_, options.pipeline,
                     gateway->pipeline_history_, may_change(options), clock, gateway->readers_,
                     gateway->busy_readers_, options.readers + options.max_waiting});
  http::Router router;
  ApiContext& context = *gateway->context_;
  gateway->fleet_gauges_ = std::make_unique<FleetGauges>(context, gateway->probe_, metrics);
  StatusOptions status{clock, health, metrics,
                       [&probe = gateway->probe_] { return ask_storage(probe); },
                       [other = std::move(options.before_metrics),
                        &fleet = *gateway->fleet_gauges_] { return update_all(other, fleet); }};
  if (auto added = add_status_routes(router, std::move(status)); !added) return added.error();
  for (const auto add : {add_gpu_routes, add_latest_routes, add_telemetry_routes,
                         add_catalogue_routes, add_fleet_latest_routes, add_fleet_telemetry_routes,
                         add_pipeline_routes, add_stream_routes}) {
    if (auto added = add(router, context); !added) return added.error();
  }
  if (auto added = add_web_routes(router); !added) return added.error();
  const auto page = [](const http::Request& request) -> std::optional<http::Response> {
    if (!wants_page(request)) return std::nullopt;
    return dashboard_page();
  };
  if (auto added = add_index_route(router, page); !added) return added.error();

  options.server.metrics = &metrics;
  // After all others, which it describes.
  if (auto added = add_openapi_routes(router, api_info(), gateway->document_); !added) {
    return added.error();
  }
  auto guarded = guard(router, gateway->front_door_);
  if (!guarded) return guarded.error();
  if (options.more_routes) {
    if (auto added = options.more_routes(*guarded); !added) return added.error();
  }
  auto server = http::Server::listen(std::move(options.server), std::move(*guarded));
  if (!server) return server.error();
  gateway->server_ = std::move(*server);
  return gateway;
}

ApiGateway::~ApiGateway() {
  if (server_) server_->stop(std::chrono::milliseconds{0});
  // What a reader still does belongs to a handler that waits for it, and so does the loop to which
  // it will report: both are there until the server goes, after this.
  readers_.join();
}

}  // namespace gpu_telemetry::services
