// What one GPU reports: newest values, which metrics, and who used it when.
#include <algorithm>

#include "services/api_gateway/answer.h"
#include "services/api_gateway/fleet.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

Result<std::string> answer_latest(ApiContext& context, const GpuUuid& uuid) {
  const auto gpu = read_fleet_gpu(context, uuid);
  if (!gpu) return gpu.error();
  const auto latest = context.telemetry.latest(uuid);
  if (!latest) return latest.error();
  // Collectors write down only now and then when a GPU was seen; its samples know better.
  Timestamp last_seen = gpu->record.last_seen;
  for (const storage::LatestSample& sample : *latest) {
    last_seen = std::max(last_seen, sample.timestamp);
  }
  const Timestamp now = context.clock.now();
  const Freshness freshness = freshness_of(last_seen, gpu->freshness.interval, now);
  std::string body = "{";
  json::append_member(body, "gpu_uuid", uuid.to_string());
  append_freshness(body, freshness);
  append_time_member(body, "last_seen", last_seen);
  json::append_key(body, "latest");
  body += '[';
  for (const storage::LatestSample& sample : *latest) {
    separate(body);
    body += '{';
    json::append_member(body, "metric_name", sample.metric);
    append_number_member(body, "value", sample.value);
    append_time_member(body, "timestamp", sample.timestamp);
    json::append_member(body, "unit", unit_of(sample.metric));
    json::append_member(body, "kind", kind_of(sample.metric));
    append_bool_member(body, "stale", now - sample.timestamp > freshness.stale_after);
    body += '}';
  }
  body += ']';
  append_count_member(body, "count", latest->size());
  body += '}';
  return body;
}

Result<std::string> answer_metrics(ApiContext& context, const GpuUuid& uuid) {
  if (const auto gpu = context.gpus.find(uuid); !gpu) return gpu.error();
  const auto metrics = context.telemetry.metrics_of(uuid);
  if (!metrics) return metrics.error();
  std::string body = "{";
  json::append_member(body, "gpu_uuid", uuid.to_string());
  json::append_key(body, "metrics");
  body += '[';
  for (const storage::MetricPresence& metric : *metrics) {
    separate(body);
    body += '{';
    json::append_member(body, "metric_name", metric.metric);
    json::append_member(body, "unit", unit_of(metric.metric));
    json::append_member(body, "kind", kind_of(metric.metric));
    json::append_member(body, "help", help_of(metric.metric));
    append_time_member(body, "first_seen", metric.first);
    append_time_member(body, "last_seen", metric.last);
    body += '}';
  }
  body += ']';
  append_count_member(body, "count", metrics->size());
  body += '}';
  return body;
}

Result<std::string> answer_attribution(ApiContext& context, const GpuUuid& uuid,
                                       const TimeRange& range) {
  if (const auto gpu = context.gpus.find(uuid); !gpu) return gpu.error();
  const auto intervals = context.gpus.attribution(uuid, range.start, range.end);
  if (!intervals) return intervals.error();
  std::string body = "{";
  json::append_member(body, "gpu_uuid", uuid.to_string());
  json::append_key(body, "attribution");
  body += '[';
  for (const AttributionInterval& interval : *intervals) {
    separate(body);
    body += '{';
    append_time_member(body, "start", interval.start);
    append_time_member(body, "end", interval.end);
    json::append_member(body, "namespace", interval.who.pod_namespace);
    json::append_member(body, "pod", interval.who.pod);
    json::append_member(body, "container", interval.who.container);
    body += '}';
  }
  body += ']';
  append_count_member(body, "count", intervals->size());
  body += '}';
  return body;
}

awaitable<http::Response> get_latest(ApiContext& context, const http::Request& request) {
  const auto uuid = GpuUuid::parse(request.path_parameter("uuid"));
  if (!uuid) co_return http::problem(uuid.error());
  auto read = [&context, &uuid] { return answer_latest(context, *uuid); };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

awaitable<http::Response> get_metrics(ApiContext& context, const http::Request& request) {
  const auto uuid = GpuUuid::parse(request.path_parameter("uuid"));
  if (!uuid) co_return http::problem(uuid.error());
  auto read = [&context, &uuid] { return answer_metrics(context, *uuid); };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

awaitable<http::Response> get_attribution(ApiContext& context, const http::Request& request) {
  const auto uuid = GpuUuid::parse(request.path_parameter("uuid"));
  if (!uuid) co_return http::problem(uuid.error());
  const auto range = parse_time_range(request);
  if (!range) co_return http::problem(range.error());
  auto read = [&context, &uuid, &range] { return answer_attribution(context, *uuid, *range); };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

}  // namespace

Result<void> add_latest_routes(http::Router& router, ApiContext& context) {
  http::Route latest = describe("/api/v1/gpus/{uuid}/latest", "getLatest",
                                "The newest value of each metric of a GPU", "telemetry");
  latest.handler = [&context](http::Request& request) { return get_latest(context, request); };
  latest.doc.description =
      "A value is `stale` when it is older than three scrape intervals (at least 15 s).";
  latest.doc.responses.push_back(answer_of("The values, sorted by metric", "Latest", {}));

  http::Route metrics = describe("/api/v1/gpus/{uuid}/metrics", "listGpuMetrics",
                                 "Which metrics a GPU has, and from when to when", "telemetry");
  metrics.handler = [&context](http::Request& request) { return get_metrics(context, request); };
  metrics.doc.responses.push_back(answer_of("The metrics, sorted by name", "GpuMetrics", {}));

  http::Route attribution = describe("/api/v1/gpus/{uuid}/attribution", "listAttribution",
                                     "Which pods used a GPU, and when", "gpus");
  attribution.handler = [&context](http::Request& request) {
    return get_attribution(context, request);
  };
  attribution.doc.responses.push_back(
      answer_of("Intervals that overlap the range, in time order; both ends are scrapes that said "
                "so",
                "AttributionList", {}));

  for (http::Route* route : {&latest, &metrics, &attribution}) {
    route->doc.parameters.push_back(uuid_parameter());
  }
  add_time_parameters(attribution.doc);
  for (http::Route* route : {&latest, &metrics, &attribution}) {
    add_problems(route->doc, {400, 404, 500, 503});
    if (auto added = router.add(std::move(*route)); !added) return added;
  }
  return {};
}

}  // namespace gpu_telemetry::services
