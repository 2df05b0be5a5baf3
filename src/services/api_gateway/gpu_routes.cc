#include "services/api_gateway/answer.h"
#include "services/api_gateway/fleet.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/page_cursor.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

constexpr std::uint64_t kMaxLimit = 100'000;

struct ListQuestion {
  FleetFilter filter;
  std::uint64_t limit = 0;  // 0: all
  std::optional<GpuUuid> after;
  std::uint64_t hash = 0;
};

void add_all(QuestionHash& hash, const std::vector<std::string>& values) {
  hash.add(std::to_string(values.size()));
  for (const std::string& value : values) hash.add(value);
}

Result<ListQuestion> parse_question(const http::Request& request) {
  ListQuestion question;
  auto filter = parse_fleet_filter(request);
  if (!filter) return filter.error();
  question.filter = std::move(*filter);
  const auto limit = parse_limit(request, kMaxLimit);
  if (!limit) return limit.error();
  question.limit = limit->value_or(0);

  QuestionHash hash;
  hash.add("gpus");
  const storage::GpuFilter& gpus = question.filter.gpus;
  for (const auto* values :
       {&gpus.hostname, &gpus.model_name, &gpus.pod_namespace, &gpus.pod, &gpus.container}) {
    add_all(hash, *values);
  }
  for (const GpuState state : question.filter.states) hash.add(to_string(state));
  question.hash = hash.value();
  const auto cursor = only_value(request, "cursor");
  if (!cursor) return cursor.error();
  if (*cursor) {
    const auto after = decode_gpu_cursor(**cursor, question.hash);
    if (!after) return after.error();
    question.after = *after;
  }
  return question;
}

struct ListAnswer {
  std::string body;
  std::string next_cursor;
};

Result<ListAnswer> answer_list(ApiContext& context, const ListQuestion& question) {
  const auto page = read_fleet_page(context, question.filter, question.after, question.limit);
  if (!page) return page.error();
  ListAnswer answer;
  std::string& body = answer.body;
  constexpr std::size_t kGpuSize = 600;  // about
  body.reserve(page->gpus.size() * kGpuSize + 100);
  body = "{\"gpus\":[";
  for (const FleetGpu& gpu : page->gpus) {
    separate(body);
    append_gpu(body, gpu.record, gpu.freshness);
  }
  body += "]";
  append_count_member(body, "total", page->total);
  if (page->more) {
    answer.next_cursor = encode_gpu_cursor(question.hash, page->gpus.back().record.gpu.uuid);
    json::append_member(body, "next_cursor", answer.next_cursor);
  }
  body += '}';
  return answer;
}

awaitable<http::Response> list_gpus(ApiContext& context, const http::Request& request) {
  const auto question = parse_question(request);
  if (!question) co_return http::problem(question.error());
  auto read = [&context, &question] { return answer_list(context, *question); };
  auto answer = co_await read_storage(context, read);
  if (!answer) co_return http::problem(answer.error());
  http::Response response = http::json_response(200, std::move(answer->body));
  if (!answer->next_cursor.empty()) {
    response.headers.set("Link", link_to_next(request, answer->next_cursor));
  }
  co_return response;
}

awaitable<http::Response> get_gpu(ApiContext& context, const http::Request& request) {
  const auto uuid = GpuUuid::parse(request.path_parameter("uuid"));
  if (!uuid) co_return http::problem(uuid.error());
  auto read = [&context, &uuid] { return read_fleet_gpu(context, *uuid); };
  const auto gpu = co_await read_storage(context, read);
  if (!gpu) co_return http::problem(gpu.error());
  std::string body;
  append_gpu(body, gpu->record, gpu->freshness);
  co_return http::json_response(200, std::move(body));
}

}  // namespace

Result<void> add_gpu_routes(http::Router& router, ApiContext& context) {
  http::Route list = describe("/api/v1/gpus", "listGpus",
                              "All GPUs that have been heard of, sorted by UUID", "gpus");
  list.handler = [&context](http::Request& request) { return list_gpus(context, request); };
  add_filter_parameters(list.doc);
  add_state_parameter(list.doc);
  list.doc.parameters.push_back(
      query_parameter("limit", "GPUs in one answer; all of them without it",
                      R"({"type":"integer","minimum":1,"maximum":100000})"));
  add_cursor_parameter(list.doc);
  list.doc.responses.push_back(
      answer_of("The GPUs; `total` counts all that match, on whatever page", "GpuList", {}));
  add_problems(list.doc, {400, 500, 503});

  http::Route get = describe("/api/v1/gpus/{uuid}", "getGpu", "One GPU", "gpus");
  get.handler = [&context](http::Request& request) { return get_gpu(context, request); };
  get.doc.parameters.push_back(uuid_parameter());
  get.doc.responses.push_back(answer_of("The GPU", "Gpu", {}));
  add_problems(get.doc, {400, 404, 500, 503});

  if (auto added = router.add(std::move(list)); !added) return added;
  return router.add(std::move(get));
}

}  // namespace gpu_telemetry::services
