#include "services/api_gateway/api_gateway.h"

#include <map>

#include "observability/build_info.h"
#include "services/api_gateway/documents.h"
#include "services/api_gateway/json.h"
#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {
namespace {

// GET /: what this is, and what else can be asked.
std::string index_document(const http::Router& router) {
  std::string body = "{";
  json::append_member(body, "service", "gpu-telemetry");
  json::append_key(body, "routes");
  body += '[';
  for (const http::Route& route : router.routes()) {
    if (body.back() != '[') body += ',';
    body += '{';
    json::append_member(body, "method", http::to_string(route.method));
    json::append_member(body, "path", route.pattern);
    json::append_member(body, "summary", route.doc.summary);
    body += '}';
  }
  body += "]}";
  return body;
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

// Without tokens anybody who reaches the port may do what it answers.
bool may_change(const ApiGatewayOptions& options) {
  return options.front_door.tokens != nullptr || is_loopback(options.server.host);
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

Result<std::unique_ptr<ApiGateway>> ApiGateway::listen(ApiGatewayOptions options,
                                                       storage::TelemetryRepository& telemetry,
                                                       storage::GpuRepository& gpus,
                                                       const Clock& clock,
                                                       observability::Health& health,
                                                       observability::Metrics& metrics) {
  std::unique_ptr<ApiGateway> gateway(new ApiGateway(options, telemetry, gpus, clock));
  gateway->context_.reset(
      new ApiContext{telemetry, gpus, gateway->intervals_, gateway->tail_, options.pipeline,
                     gateway->pipeline_history_, may_change(options), clock, health, metrics,
                     std::move(options.before_metrics), gateway->readers_, gateway->busy_readers_,
                     options.readers + options.max_waiting});
  http::Router router;
  for (const auto add : {add_health_routes, add_gpu_routes, add_latest_routes, add_telemetry_routes,
                         add_catalogue_routes, add_fleet_latest_routes, add_fleet_telemetry_routes,
                         add_pipeline_routes, add_stream_routes}) {
    if (auto added = add(router, *gateway->context_); !added) return added.error();
  }
  http::Route index;
  index.pattern = "/";
  index.doc.id = "getIndex";
  index.doc.summary = "What can be asked";
  index.doc.tag = "service";
  http::ResponseDoc listed;
  listed.description = "The routes";
  listed.schema_json = R"({"type":"object"})";
  index.doc.responses.push_back(std::move(listed));
  index.handler =
      [body = index_document(router)](http::Request&) -> boost::asio::awaitable<http::Response> {
    co_return http::json_response(200, body);
  };
  if (auto added = router.add(std::move(index)); !added) return added.error();

  options.server.metrics = &metrics;
  // After all others, which it describes.
  if (auto added = add_openapi_routes(router, api_info(), gateway->document_); !added) {
    return added.error();
  }
  auto guarded = guard(router, gateway->front_door_);
  if (!guarded) return guarded.error();
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
