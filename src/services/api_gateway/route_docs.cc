#include "services/api_gateway/route_docs.h"

#include <utility>

namespace gpu_telemetry::services {

http::ParameterDoc uuid_parameter() {
  http::ParameterDoc doc;
  doc.name = "uuid";
  doc.in = "path";
  doc.description = "GPU- or MIG- and a UUID";
  doc.schema_json =
      R"({"type":"string","pattern":"^(GPU|MIG)-[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"})";
  doc.required = true;
  return doc;
}

http::ParameterDoc query_parameter(std::string name, std::string description, std::string schema) {
  http::ParameterDoc doc;
  doc.name = std::move(name);
  doc.in = "query";
  doc.description = std::move(description);
  doc.schema_json = std::move(schema);
  return doc;
}

http::ResponseDoc json_answer(std::string description, std::string schema) {
  http::ResponseDoc doc;
  doc.description = std::move(description);
  doc.schema_json = std::move(schema);
  return doc;
}

http::ResponseDoc problem_answer(int status, std::string description) {
  http::ResponseDoc doc;
  doc.status = status;
  doc.description = std::move(description);
  doc.media_type = "application/problem+json";
  return doc;
}

}  // namespace gpu_telemetry::services
