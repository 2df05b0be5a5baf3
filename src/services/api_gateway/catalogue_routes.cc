// What is known of DCGM's fields.
#include "services/api_gateway/answer.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/routes.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

std::string catalogue_document() {
  std::string body = "{\"metrics\":[";
  for (const MetricDefinition& metric : metric_definitions()) {
    separate(body);
    body += '{';
    json::append_member(body, "metric_name", metric.name);
    json::append_member(body, "current_name", metric.current_name);
    append_count_member(body, "field_id", metric.field_id);
    json::append_member(body, "unit", metric.unit);
    json::append_member(body, "kind", metric.kind == MetricKind::kCounter ? "counter" : "gauge");
    json::append_member(body, "type", metric.type == MetricType::kInt64 ? "int64" : "double");
    json::append_member(body, "help", metric.help);
    append_bool_member(body, "exported_by_default", metric.exported_by_default);
    body += '}';
  }
  body += ']';
  append_count_member(body, "count", metric_definitions().size());
  body += '}';
  return body;
}

}  // namespace

Result<void> add_catalogue_routes(http::Router& router, ApiContext&) {
  http::Route list = describe("/api/v1/metrics", "listMetrics",
                              "The catalogue of metrics: names, units, kinds", "telemetry");
  list.doc.description =
      "`metric_name` is the name under which readings are stored and shown; `current_name` is what "
      "DCGM calls the field today. Either is accepted in requests. A GPU may have metrics that are "
      "not in the catalogue.";
  list.handler =
      [body = catalogue_document()](http::Request&) -> boost::asio::awaitable<http::Response> {
    co_return http::json_response(200, body);
  };
  list.doc.responses.push_back(answer_of("The metrics, sorted by name", "Catalogue", {}));
  return router.add(std::move(list));
}

}  // namespace gpu_telemetry::services
