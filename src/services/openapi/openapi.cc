#include "services/openapi/openapi.h"

#include <boost/json.hpp>
#include <map>
#include <set>

#include "services/openapi/yaml.h"

namespace gpu_telemetry::services {
namespace {

namespace json = boost::json;

constexpr std::string_view kProblem = R"({"type":"object","required":["type","title","status"],
"description":"RFC 9457","properties":{
 "type":{"type":"string"},
 "title":{"type":"string"},
 "status":{"type":"integer"},
 "detail":{"type":"string","description":"What was wrong, and what would be right"}},
"examples":[{"type":"about:blank","title":"Bad Request","status":400,
 "detail":"limit: '0' is not a whole number from 1 to 100000"}]})";

constexpr std::string_view kProblemType = "application/problem+json";

// Collects the first error, so that a document is built without asking after each step.
class Parser {
 public:
  json::value parse(std::string_view text, const std::string& where) {
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    if (error && problem_.empty()) problem_ = where + ": " + error.message();
    return error ? json::value(json::object()) : value;
  }
  const std::string& problem() const { return problem_; }

 private:
  std::string problem_;
};

json::object problem_answer(std::string_view description) {
  return {{"description", description},
          {"content", {{kProblemType, {{"schema", {{"$ref", "#/components/schemas/Problem"}}}}}}}};
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

class Builder {
 public:
  Builder(const http::Router& router, const OpenApiInfo& info) : router_(router), info_(info) {}

  Result<json::object> build() {
    json::object document;
    document["openapi"] = "3.1.0";
    document["info"] = {{"title", info_.title},
                        {"description", info_.description},
                        {"version", info_.version},
                        {"license", {{"name", "MIT"}, {"identifier", "MIT"}}}};
    document["servers"] = json::array{{{"url", "/"}}};
    json::object paths;
    for (const http::Route& route : router_.routes()) {
      if (route.doc.id.empty()) continue;
      json::value& path = paths[route.pattern];
      if (path.is_null()) path = json::object();
      path.get_object()[lower_case(http::to_string(route.method))] = operation(route);
    }
    json::array tags;
    for (const std::string& tag : tags_) tags.push_back(json::object{{"name", tag}});
    document["tags"] = std::move(tags);
    document["paths"] = std::move(paths);
    document["components"] = components();
    if (!parser_.problem().empty()) return internal("OpenAPI: " + parser_.problem());
    return document;
  }

 private:
  bool is_guarded(const http::Route& route) const {
    return route.pattern.starts_with(info_.guarded_prefix);
  }

  json::object operation(const http::Route& route) {
    const http::OperationDoc& doc = route.doc;
    const std::string where = std::string(http::to_string(route.method)) + " " + route.pattern;
    json::object operation;
    operation["operationId"] = doc.id;
    operation["summary"] = doc.summary;
    if (!doc.description.empty()) operation["description"] = doc.description;
    if (!doc.tag.empty()) {
      operation["tags"] = json::array{doc.tag};
      tags_.insert(doc.tag);
    }
    if (!doc.parameters.empty()) operation["parameters"] = parameters(doc, where);
    if (!doc.request_schema_json.empty()) {
      operation["requestBody"] = {
          {"required", true},
          {"content",
           {{"application/json", {{"schema", parser_.parse(doc.request_schema_json, where)}}}}}};
    }
    operation["responses"] = responses(route, where);
    if (is_guarded(route)) {
      // One of the two: none is needed where no tokens are configured.
      operation["security"] = json::array{json::object(), {{"bearer", json::array()}}};
    }
    return operation;
  }

  json::array parameters(const http::OperationDoc& doc, const std::string& where) {
    json::array list;
    for (const http::ParameterDoc& parameter : doc.parameters) {
      list.push_back(json::object{{"name", parameter.name},
                                  {"in", parameter.in},
                                  {"description", parameter.description},
                                  {"required", parameter.required},
                                  {"schema", parser_.parse(parameter.schema_json, where)}});
    }
    return list;
  }

  json::object responses(const http::Route& route, const std::string& where) {
    std::map<int, json::object> by_status;
    for (const http::ResponseDoc& response : route.doc.responses) {
      json::object& entry = by_status[response.status];
      if (entry.empty()) entry["description"] = response.description;
      if (response.schema_json.empty()) continue;
      json::object media;
      media["schema"] = parser_.parse(response.schema_json, where);
      if (!response.example.empty()) media["example"] = parser_.parse(response.example, where);
      json::value& content = entry["content"];
      if (content.is_null()) content = json::object();
      content.get_object()[response.media_type] = std::move(media);
    }
    if (is_guarded(route)) {
      by_status.try_emplace(401, problem_answer("A token is needed (`Authorization: Bearer`)"));
      if (route.method != http::Method::kGet) {
        by_status.try_emplace(403, problem_answer("The token, or this server, does not allow it"));
      }
      by_status.try_emplace(429, problem_answer("Asked too often; see Retry-After"));
    }
    json::object all;
    for (auto& [status, entry] : by_status) all[std::to_string(status)] = std::move(entry);
    all["default"] = problem_answer(
        "What any request may be refused for: 404, 405, 408, 413, 414, 431, 500, 503");
    return all;
  }

  json::object components() {
    json::object schemas;
    for (const NamedSchema& schema : info_.schemas) {
      schemas[schema.name] = parser_.parse(schema.json, std::string(schema.name));
    }
    schemas["Problem"] = parser_.parse(kProblem, "Problem");
    return {{"schemas", std::move(schemas)},
            {"securitySchemes",
             {{"bearer",
               {{"type", "http"},
                {"scheme", "bearer"},
                {"description", "Needed where tokens are configured"}}}}}};
  }

  const http::Router& router_;
  const OpenApiInfo& info_;
  Parser parser_;
  std::set<std::string> tags_;
};

http::Route document_route(std::string pattern, std::string id, std::string media_type,
                           std::shared_ptr<const OpenApiDocument> document,
                           std::string OpenApiDocument::* text) {
  http::Route route;
  route.pattern = std::move(pattern);
  route.doc.id = std::move(id);
  route.doc.summary = "This document";
  route.doc.tag = "service";
  http::ResponseDoc answer;
  answer.description = "OpenAPI 3.1";
  answer.media_type = media_type;
  answer.schema_json = media_type == "application/json" ? R"({"type":"object"})" : "{}";
  route.doc.responses.push_back(std::move(answer));
  route.handler = [document = std::move(document), media_type = std::move(media_type),
                   text](http::Request&) -> boost::asio::awaitable<http::Response> {
    http::Response response;
    response.headers.set("Content-Type", media_type);
    response.body = (*document).*text;
    co_return response;
  };
  return route;
}

}  // namespace

Result<OpenApiDocument> openapi_document(const http::Router& router, const OpenApiInfo& info) {
  auto built = Builder(router, info).build();
  if (!built) return built.error();
  const json::value document(std::move(*built));
  return OpenApiDocument{to_pretty_json(document), to_yaml(document)};
}

Result<void> add_openapi_routes(http::Router& router, const OpenApiInfo& info,
                                const std::shared_ptr<OpenApiDocument>& document) {
  auto in_json = document_route("/openapi.json", "getOpenApiJson", "application/json", document,
                                &OpenApiDocument::json);
  auto in_yaml = document_route("/openapi.yaml", "getOpenApiYaml", "application/yaml", document,
                                &OpenApiDocument::yaml);
  if (auto added = router.add(std::move(in_json)); !added) return added;
  if (auto added = router.add(std::move(in_yaml)); !added) return added;
  auto written = openapi_document(router, info);
  if (!written) return written.error();
  *document = std::move(*written);
  return {};
}

}  // namespace gpu_telemetry::services
