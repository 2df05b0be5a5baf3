#include "services/api_gateway/operation_docs.h"

#include <utility>

#include "services/api_gateway/route_docs.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::string_view kText = R"({"type":"string"})";
constexpr const char* kTime = R"({"type":"string","format":"date-time"})";
constexpr std::string_view kMetric =
    R"({"type":"string","pattern":"^[a-zA-Z_:][a-zA-Z0-9_:]*$","maxLength":200})";

std::string_view description_of(int status) {
  switch (status) {
    case 400:
      return "A parameter is malformed, out of its range, or unknown; `detail` says which, and "
             "what "
             "would be right";
    case 404:
      return "No such GPU is known";
    case 409:
      return "It is not configured here; `detail` says what to set";
    case 500:
      return "What is stored is damaged where the answer lies; `detail` names it";
    case 503:
      return "Storage is away or too many questions wait; the same again may succeed";
    default:
      return "See `detail`";
  }
}

}  // namespace

http::Route describe(std::string pattern, std::string id, std::string summary, std::string tag) {
  http::Route route;
  route.pattern = std::move(pattern);
  route.doc.id = std::move(id);
  route.doc.summary = std::move(summary);
  route.doc.tag = std::move(tag);
  return route;
}

std::string schema_reference(std::string_view name) {
  return R"({"$ref":"#/components/schemas/)" + std::string(name) + "\"}";
}

http::ResponseDoc answer_of(std::string description, std::string_view schema,
                            std::string_view example) {
  http::ResponseDoc doc = json_answer(std::move(description), schema_reference(schema));
  doc.example = example;
  return doc;
}

http::ParameterDoc repeatable_parameter(std::string name, std::string description,
                                        std::string_view item_schema) {
  return query_parameter(std::move(name), std::move(description),
                         R"({"type":"array","items":)" + std::string(item_schema) + "}");
}

void add_filter_parameters(http::OperationDoc& doc) {
  for (const std::string_view name : {"hostname", "model_name", "namespace", "pod", "container"}) {
    doc.parameters.push_back(repeatable_parameter(
        std::string(name),
        "Only GPUs whose `" + std::string(name) + "` is exactly this; several are alternatives",
        kText));
  }
}

void add_state_parameter(http::OperationDoc& doc) {
  doc.parameters.push_back(repeatable_parameter(
      "state", "Only GPUs in this state; several are alternatives", schema_reference("State")));
}

void add_time_parameters(http::OperationDoc& doc) {
  doc.parameters.push_back(
      query_parameter("start_time", "Only what is at or after this time (RFC 3339)", kTime));
  doc.parameters.push_back(
      query_parameter("end_time", "Only what is at or before this time (RFC 3339)", kTime));
}

void add_metric_parameter(http::OperationDoc& doc, std::string description, std::size_t most) {
  description += "; of a field that DCGM renamed either name will do";
  http::ParameterDoc parameter =
      most == 1 ? query_parameter("metric_name", std::move(description), std::string(kMetric))
                : repeatable_parameter("metric_name", std::move(description), kMetric);
  if (most > 1) {
    parameter.schema_json.insert(parameter.schema_json.size() - 1,
                                 ",\"maxItems\":" + std::to_string(most));
  }
  doc.parameters.push_back(std::move(parameter));
}

void add_cursor_parameter(http::OperationDoc& doc) {
  doc.parameters.push_back(query_parameter(
      "cursor", "`next_cursor` of the answer before, to go on behind it; the query stays the same",
      R"({"type":"string"})"));
}

void add_problems(http::OperationDoc& doc, std::initializer_list<int> statuses) {
  for (const int status : statuses) {
    http::ResponseDoc problem = problem_answer(status, std::string(description_of(status)));
    problem.schema_json = schema_reference("Problem");
    doc.responses.push_back(std::move(problem));
  }
}

}  // namespace gpu_telemetry::services
