// What the whole fleet is doing now: newest values of every GPU, and the totals.
#include <cmath>
#include <map>
#include <set>

#include "services/api_gateway/answer.h"
#include "services/api_gateway/fleet.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/routes.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

constexpr std::size_t kMaxMetrics = 20;
constexpr std::string_view kDefaultMetric = "DCGM_FI_DEV_GPU_UTIL";

struct LatestQuestion {
  std::vector<std::string> metrics;  // in the order of the request
  FleetFilter filter;
};

Result<LatestQuestion> parse_question(const http::Request& request) {
  LatestQuestion question;
  const auto checked = parse_metrics(request, kMaxMetrics);
  if (!checked) return checked.error();
  for (const std::string_view given : request.query.get_all("metric_name")) {
    std::string name(canonical_metric_name(given));
    const auto& known = question.metrics;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      question.metrics.push_back(std::move(name));
    }
  }
  if (question.metrics.empty()) question.metrics.emplace_back(kDefaultMetric);
  auto filter = parse_fleet_filter(request);
  if (!filter) return filter.error();
  question.filter = std::move(*filter);
  return question;
}

void append_fleet_gpu(std::string& body, const FleetGpu& gpu, std::span<const double> values) {
  separate(body);
  body += '{';
  const Gpu& attributes = gpu.record.gpu;
  json::append_member(body, "uuid", attributes.uuid.to_string());
  json::append_member(body, "hostname", attributes.hostname);
  json::append_member(body, "gpu_index", attributes.gpu_index);
  json::append_member(body, "model_name", attributes.model_name);
  json::append_member(body, "namespace", attributes.attribution.pod_namespace);
  json::append_member(body, "pod", attributes.attribution.pod);
  json::append_member(body, "state", to_string(gpu.freshness.state));
  append_time_member(body, "last_seen", gpu.record.last_seen);
  json::append_key(body, "values");
  body += '[';
  for (const double value : values) {
    separate(body);
    if (std::isfinite(value)) {
      json::append_number(body, value);
    } else {
      body += "null";
    }
  }
  body += "]}";
}

Result<std::string> answer_latest(ApiContext& context, const LatestQuestion& question) {
  const auto fleet = read_fleet(context, question.filter);
  if (!fleet) return fleet.error();
  const Timestamp now = context.clock.now();
  storage::LatestQuery query;
  query.metrics = question.metrics;
  query.gpus.reserve(fleet->size());
  for (const FleetGpu& gpu : *fleet) {
    query.gpus.push_back({gpu.record.gpu.uuid, now - gpu.freshness.gone_after});
  }
  const auto latest = context.telemetry.latest_values(query);
  if (!latest) return latest.error();
  std::string body = "{";
  constexpr std::size_t kGpuSize = 320;  // about
  body.reserve(fleet->size() * (kGpuSize + 8 * question.metrics.size()) + 1000);
  append_time_member(body, "time", now);
  json::append_key(body, "metrics");
  body += '[';
  for (const std::string& metric : question.metrics) {
    separate(body);
    json::append_string(body, metric);
  }
  body += ']';
  json::append_key(body, "gpus");
  body += '[';
  for (std::size_t i = 0; i < fleet->size(); ++i) {
    const std::size_t width = question.metrics.size();
    append_fleet_gpu(body, (*fleet)[i], std::span(latest->values).subspan(i * width, width));
  }
  body += ']';
  append_count_member(body, "total", fleet->size());
  body += '}';
  return body;
}

// What GET /api/v1/fleet/summary adds up, over GPUs that are live.
enum SummaryMetric : std::size_t { kUtilization, kPower, kUsed, kFree, kReserved, kTotal, kHeat };
const std::vector<std::string>& summary_metrics() {
  static const std::vector<std::string> names = {
      "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_FB_USED",
      "DCGM_FI_DEV_FB_FREE",  "DCGM_FI_DEV_FB_RESERVED", "DCGM_FI_DEV_FB_TOTAL",
      "DCGM_FI_DEV_GPU_TEMP"};
  return names;
}

// A sum that knows whether anything was added.
struct Sum {
  double value = 0;
  std::size_t count = 0;
  void add(double more) {
    if (!std::isfinite(more)) return;
    value += more;
    ++count;
  }
  double or_nothing() const { return count > 0 ? value : std::nan(""); }
  double mean() const { return count > 0 ? value / static_cast<double>(count) : std::nan(""); }
};

struct Summary {
  std::size_t states[3] = {};
  std::set<std::string> hosts;
  std::map<std::string, std::size_t> namespaces;
  std::map<std::string, std::size_t> models;
  Sum utilization;
  Sum power;
  Sum used;
  Sum total;
  const FleetGpu* hottest = nullptr;
  double celsius = 0;

  void count(const FleetGpu& gpu) {
    ++states[static_cast<std::size_t>(gpu.freshness.state)];
    hosts.insert(gpu.record.gpu.hostname);
    ++namespaces[gpu.record.gpu.attribution.pod_namespace];
    ++models[gpu.record.gpu.model_name];
  }
  void add(const FleetGpu& gpu, std::span<const double> values) {
    utilization.add(values[kUtilization]);
    power.add(values[kPower]);
    used.add(values[kUsed]);
    if (std::isfinite(values[kTotal])) {
      total.add(values[kTotal]);
    } else {
      const double reserved = std::isfinite(values[kReserved]) ? values[kReserved] : 0;
      total.add(values[kUsed] + values[kFree] + reserved);
    }
    const double heat = values[kHeat];
    if (!std::isfinite(heat) || (hottest != nullptr && heat <= celsius)) return;
    hottest = &gpu;
    celsius = heat;
  }
};

void append_counts(std::string& body, std::string_view list, std::string_view name,
                   const std::map<std::string, std::size_t>& counts) {
  json::append_key(body, list);
  body += '[';
  for (const auto& [value, gpus] : counts) {
    separate(body);
    body += '{';
    json::append_member(body, name, value);
    append_count_member(body, "gpus", gpus);
    body += '}';
  }
  body += ']';
}

std::string summary_document(const Summary& summary, std::size_t total, Timestamp now) {
  std::string body = "{";
  append_time_member(body, "time", now);
  json::append_key(body, "gpus");
  body += '{';
  append_count_member(body, "total", total);
  for (const GpuState state : {GpuState::kLive, GpuState::kStale, GpuState::kGone}) {
    append_count_member(body, to_string(state), summary.states[static_cast<std::size_t>(state)]);
  }
  body += '}';
  append_count_member(body, "hosts", summary.hosts.size());
  append_number_member(body, "utilization_avg", summary.utilization.mean());
  append_number_member(body, "power_watts", summary.power.or_nothing());
  append_number_member(body, "memory_used_mib", summary.used.or_nothing());
  append_number_member(body, "memory_total_mib", summary.total.or_nothing());
  if (summary.hottest == nullptr) {
    append_null_member(body, "hottest");
  } else {
    const Gpu& gpu = summary.hottest->record.gpu;
    json::append_key(body, "hottest");
    body += '{';
    json::append_member(body, "uuid", gpu.uuid.to_string());
    json::append_member(body, "hostname", gpu.hostname);
    json::append_member(body, "gpu_index", gpu.gpu_index);
    append_number_member(body, "celsius", summary.celsius);
    body += '}';
  }
  append_counts(body, "namespaces", "namespace", summary.namespaces);
  append_counts(body, "models", "model_name", summary.models);
  body += '}';
  return body;
}

Result<std::string> answer_summary(ApiContext& context, const FleetFilter& filter) {
  const auto fleet = read_fleet(context, filter);
  if (!fleet) return fleet.error();
  const Timestamp now = context.clock.now();
  Summary summary;
  storage::LatestQuery query;
  query.metrics = summary_metrics();
  std::vector<const FleetGpu*> live;
  for (const FleetGpu& gpu : *fleet) {
    summary.count(gpu);
    if (gpu.freshness.state != GpuState::kLive) continue;
    live.push_back(&gpu);
    query.gpus.push_back({gpu.record.gpu.uuid, now - gpu.freshness.stale_after});
  }
  const auto latest = context.telemetry.latest_values(query);
  if (!latest) return latest.error();
  const std::size_t width = query.metrics.size();
  for (std::size_t i = 0; i < live.size(); ++i) {
    summary.add(*live[i], std::span(latest->values).subspan(i * width, width));
  }
  return summary_document(summary, fleet->size(), now);
}

awaitable<http::Response> get_latest(ApiContext& context, const http::Request& request) {
  const auto question = parse_question(request);
  if (!question) co_return http::problem(question.error());
  auto read = [&context, &question] { return answer_latest(context, *question); };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

awaitable<http::Response> get_summary(ApiContext& context, const http::Request& request) {
  const auto filter = parse_fleet_filter(request);
  if (!filter) co_return http::problem(filter.error());
  auto read = [&context, &filter] { return answer_summary(context, *filter); };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

}  // namespace

Result<void> add_fleet_latest_routes(http::Router& router, ApiContext& context) {
  http::Route latest = describe("/api/v1/fleet/latest", "getFleetLatest",
                                "The newest values of many GPUs, in one answer", "fleet");
  latest.doc.description =
      "`values` stand in the order of `metrics`; null where the GPU has none, or none that is "
      "younger than ten scrape intervals.";
  latest.handler = [&context](http::Request& request) { return get_latest(context, request); };
  add_metric_parameter(latest.doc, "Which metrics; DCGM_FI_DEV_GPU_UTIL without it", kMaxMetrics);
  latest.doc.responses.push_back(
      answer_of("One row for each GPU, sorted by UUID", "FleetLatest", {}));

  http::Route summary =
      describe("/api/v1/fleet/summary", "getFleetSummary", "Totals of the fleet, now", "fleet");
  summary.doc.description = "Values are of live GPUs; null when none of them reports the metric.";
  summary.handler = [&context](http::Request& request) { return get_summary(context, request); };
  summary.doc.responses.push_back(answer_of("The totals", "FleetSummary", {}));

  for (http::Route* route : {&latest, &summary}) {
    add_filter_parameters(route->doc);
    add_state_parameter(route->doc);
    add_problems(route->doc, {400, 500, 503});
    if (auto added = router.add(std::move(*route)); !added) return added;
  }
  return {};
}

}  // namespace gpu_telemetry::services
