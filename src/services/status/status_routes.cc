#include "services/status/status_routes.h"

#include <memory>
#include <utility>

#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

// What /health and /readyz answer: the process's own conditions, and its dependencies asked now.
struct Readiness {
  bool ready = false;
  std::string checks;  // a JSON object: name to "ok" or the reason
};

awaitable<Readiness> check_readiness(const StatusOptions& status) {
  auto state = status.health.state();
  Readiness readiness;
  readiness.ready = state.ready;
  if (status.ask) {
    for (auto& check : co_await status.ask()) {
      readiness.ready = readiness.ready && check.ok;
      state.checks.push_back(std::move(check));
    }
  }
  readiness.checks = "{";
  for (const auto& check : state.checks) {
    // A condition that holds may have something to say all the same.
    const bool silent = check.ok && check.reason.empty();
    json::append_member(readiness.checks, check.name, silent ? "ok" : check.reason);
  }
  if (state.draining) json::append_member(readiness.checks, "draining", "shutting down");
  readiness.checks += '}';
  co_return readiness;
}

std::string status_document(const StatusOptions& status, std::string_view word,
                            const std::string& checks) {
  std::string body = "{";
  json::append_member(body, "status", word);
  json::append_member(body, "timestamp", format_rfc3339(status.clock.now()));
  if (!checks.empty()) {
    json::append_key(body, "checks");
    body += checks;
  }
  body += '}';
  return body;
}

awaitable<http::Response> answer_readiness(const StatusOptions& status, std::string_view ready,
                                           std::string_view not_ready) {
  const Readiness readiness = co_await check_readiness(status);
  co_return http::json_response(
      readiness.ready ? 200 : 503,
      status_document(status, readiness.ready ? ready : not_ready, readiness.checks));
}

awaitable<http::Response> get_liveness(const StatusOptions& status) {
  co_return http::json_response(200, status_document(status, "alive", {}));
}

awaitable<http::Response> get_metrics(const StatusOptions& status) {
  if (status.before_metrics) co_await status.before_metrics();
  http::Response response = http::text_response(200, status.metrics.render());
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

Result<void> add_status_routes(http::Router& router, StatusOptions options) {
  const auto status = std::make_shared<const StatusOptions>(std::move(options));
  http::Route health = make_route(
      "/health", "getHealth", "Whether the service can do its work",
      [status](http::Request&) { return answer_readiness(*status, "healthy", "unhealthy"); });
  document_status(health, true);
  http::Route live = make_route("/livez", "getLiveness", "Whether the process is alive",
                                [status](http::Request&) { return get_liveness(*status); });
  document_status(live, false);
  http::Route ready = make_route(
      "/readyz", "getReadiness", "Whether the service is ready for requests",
      [status](http::Request&) { return answer_readiness(*status, "ready", "not ready"); });
  document_status(ready, true);
  http::Route metrics =
      make_route("/metrics", "getMetrics", "Metrics of this process in the Prometheus text format",
                 [status](http::Request&) { return get_metrics(*status); });
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

Result<void> add_index_route(http::Router& router, MakePage page) {
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
  http::Route index = make_route("/", "getIndex", "What can be asked",
                                 [body = std::move(body), page = std::move(page)](
                                     http::Request& request) -> awaitable<http::Response> {
                                   auto response = page ? page(request) : std::nullopt;
                                   if (!response) response = http::json_response(200, body);
                                   if (page) response->headers.add("Vary", "Accept");
                                   co_return std::move(*response);
                                 });
  http::ResponseDoc listed;
  listed.description = "The routes";
  listed.schema_json = R"({"type":"object"})";
  index.doc.responses.push_back(std::move(listed));
  return router.add(std::move(index));
}

}  // namespace gpu_telemetry::services
