#include "services/api_gateway/json.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

awaitable<http::Response> list_gpus(ApiContext& context) {
  auto read = [&context]() -> Result<std::string> {
    auto page = context.gpus.list(storage::GpuFilter{}, std::nullopt, 0);
    if (!page) return page.error();
    std::string body = "{\"gpus\":[";
    for (const GpuRecord& record : page->gpus) {
      if (body.back() != '[') body += ',';
      append_gpu(body, record);
    }
    body += "],\"total\":" + std::to_string(page->total) + "}";
    return body;
  };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

awaitable<http::Response> get_gpu(ApiContext& context, const http::Request& request) {
  const auto uuid = GpuUuid::parse(request.path_parameter("uuid"));
  if (!uuid) co_return http::problem(uuid.error());
  auto read = [&context, &uuid] { return context.gpus.find(*uuid); };
  const auto record = co_await read_storage(context, read);
  if (!record) co_return http::problem(record.error());
  std::string body;
  append_gpu(body, *record);
  co_return http::json_response(200, std::move(body));
}

constexpr std::string_view kGpuSchema =
    R"({"type":"object","required":["uuid","device_id","gpu_index","model_name","hostname",)"
    R"("container","pod","namespace","first_seen","last_seen"],"properties":{)"
    R"("uuid":{"type":"string"},"device_id":{"type":"string"},"gpu_index":{"type":"string"},)"
    R"("model_name":{"type":"string"},"hostname":{"type":"string"},"container":{"type":"string"},)"
    R"("pod":{"type":"string"},"namespace":{"type":"string"},)"
    R"("first_seen":{"type":"string","format":"date-time"},)"
    R"("last_seen":{"type":"string","format":"date-time"},)"
    R"("labels":{"type":"object","additionalProperties":{"type":"string"}}}})";

}  // namespace

void append_gpu(std::string& out, const GpuRecord& record) {
  const Gpu& gpu = record.gpu;
  out += '{';
  json::append_member(out, "uuid", gpu.uuid.to_string());
  json::append_member(out, "device_id", gpu.device_id);
  json::append_member(out, "gpu_index", gpu.gpu_index);
  json::append_member(out, "model_name", gpu.model_name);
  json::append_member(out, "hostname", gpu.hostname);
  json::append_member(out, "container", gpu.attribution.container);
  json::append_member(out, "pod", gpu.attribution.pod);
  json::append_member(out, "namespace", gpu.attribution.pod_namespace);
  json::append_member(out, "first_seen", format_rfc3339(record.first_seen));
  json::append_member(out, "last_seen", format_rfc3339(record.last_seen));
  json::append_key(out, "labels");
  out += '{';
  for (const auto& [name, value] : gpu.labels) json::append_member(out, name, value);
  out += "}}";
}

Result<void> add_gpu_routes(http::Router& router, ApiContext& context) {
  http::Route list;
  list.pattern = "/api/v1/gpus";
  list.handler = [&context](http::Request&) { return list_gpus(context); };
  list.doc.id = "listGpus";
  list.doc.summary = "All GPUs that have been heard of, sorted by UUID";
  list.doc.tag = "gpus";
  list.doc.responses.push_back(json_answer(
      "The GPUs", R"({"type":"object","required":["gpus","total"],"properties":{"gpus":)"
                  R"({"type":"array","items":)" +
                      std::string(kGpuSchema) + R"(},"total":{"type":"integer"}}})"));
  list.doc.responses.push_back(problem_answer(503, "Storage is away"));

  http::Route get;
  get.pattern = "/api/v1/gpus/{uuid}";
  get.handler = [&context](http::Request& request) { return get_gpu(context, request); };
  get.doc.id = "getGpu";
  get.doc.summary = "One GPU";
  get.doc.tag = "gpus";
  get.doc.parameters.push_back(uuid_parameter());
  get.doc.responses.push_back(json_answer("The GPU", std::string(kGpuSchema)));
  get.doc.responses.push_back(problem_answer(400, "Malformed UUID"));
  get.doc.responses.push_back(problem_answer(404, "No such GPU"));
  get.doc.responses.push_back(problem_answer(503, "Storage is away"));

  if (auto added = router.add(std::move(list)); !added) return added;
  return router.add(std::move(get));
}

}  // namespace gpu_telemetry::services
