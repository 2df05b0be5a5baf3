#include "services/api_gateway/json.h"
#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

// What /health and /readyz answer: the process's own conditions, and storage asked right now.
struct Readiness {
  bool ready = false;
  std::string checks;  // a JSON object: name to "ok" or the reason
};

awaitable<Readiness> check_readiness(ApiContext& context) {
  auto ask = [&context] { return context.telemetry.check_health(); };
  const auto storage = co_await read_storage(context, ask);
  const auto state = context.health.state();
  Readiness readiness;
  readiness.ready = state.ready && storage.has_value();
  readiness.checks = "{";
  for (const auto& check : state.checks) {
    json::append_member(readiness.checks, check.name, check.ok ? "ok" : check.reason);
  }
  json::append_member(readiness.checks, "storage", storage ? "ok" : storage.error().message);
  if (state.draining) json::append_member(readiness.checks, "draining", "shutting down");
  readiness.checks += '}';
  co_return readiness;
}

std::string status_document(const ApiContext& context, std::string_view status,
                            const std::string& checks) {
  std::string body = "{";
  json::append_member(body, "status", status);
  json::append_member(body, "timestamp", format_rfc3339(context.clock.now()));
  if (!checks.empty()) {
    json::append_key(body, "checks");
    body += checks;
  }
  body += '}';
  return body;
}

awaitable<http::Response> get_health(ApiContext& context) {
  const Readiness readiness = co_await check_readiness(context);
  const std::string_view status = readiness.ready ? "healthy" : "unhealthy";
  co_return http::json_response(readiness.ready ? 200 : 503,
                                status_document(context, status, readiness.checks));
}

awaitable<http::Response> get_readiness(ApiContext& context) {
  const Readiness readiness = co_await check_readiness(context);
  const std::string_view status = readiness.ready ? "ready" : "not ready";
  co_return http::json_response(readiness.ready ? 200 : 503,
                                status_document(context, status, readiness.checks));
}

awaitable<http::Response> get_liveness(ApiContext& context) {
  co_return http::json_response(200, status_document(context, "alive", {}));
}

awaitable<http::Response> get_metrics(ApiContext& context) {
  if (context.before_metrics) co_await context.before_metrics();
  http::Response response = http::text_response(200, context.metrics.render());
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  co_return response;
}

constexpr std::string_view kStatusSchema =
    R"({"type":"object","required":["status","timestamp"],"properties":{)"
    R"("status":{"type":"string"},"timestamp":{"type":"string","format":"date-time"},)"
    R"("checks":{"type":"object","additionalProperties":{"type":"string"}}}})";

http::Route make_route(std::string pattern, std::string id, std::string summary,
                       http::Handler handler) {
  http::Route route;
  route.pattern = std::move(pattern);
  route.handler = std::move(handler);
  route.doc.id = std::move(id);
  route.doc.summary = std::move(summary);
  route.doc.tag = "service";
  return route;
}

void document_status(http::Route& route, bool can_fail) {
  http::ResponseDoc ok;
  ok.description = "It is";
  ok.schema_json = kStatusSchema;
  route.doc.responses.push_back(ok);
  if (!can_fail) return;
  http::ResponseDoc not_ok = ok;
  not_ok.status = 503;
  not_ok.description = "It is not; `checks` says why";
  route.doc.responses.push_back(not_ok);
}

}  // namespace

Result<void> add_health_routes(http::Router& router, ApiContext& context) {
  http::Route health = make_route("/health", "getHealth", "Whether the service can do its work",
                                  [&context](http::Request&) { return get_health(context); });
  document_status(health, true);
  http::Route live = make_route("/livez", "getLiveness", "Whether the process is alive",
                                [&context](http::Request&) { return get_liveness(context); });
  document_status(live, false);
  http::Route ready =
      make_route("/readyz", "getReadiness", "Whether the service is ready for requests",
                 [&context](http::Request&) { return get_readiness(context); });
  document_status(ready, true);
  http::Route metrics =
      make_route("/metrics", "getMetrics", "Metrics of this process in the Prometheus text format",
                 [&context](http::Request&) { return get_metrics(context); });
  http::ResponseDoc text;
  text.description = "Prometheus text format, version 0.0.4";
  text.media_type = "text/plain";
  text.schema_json = R"({"type":"string"})";
  metrics.doc.responses.push_back(std::move(text));

  for (http::Route* route : {&health, &live, &ready, &metrics}) {
    if (auto added = router.add(std::move(*route)); !added) return added;
  }
  return {};
}

}  // namespace gpu_telemetry::services
