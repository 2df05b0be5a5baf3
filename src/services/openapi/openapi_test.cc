#include "services/openapi/openapi.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "services/openapi/yaml.h"

namespace gpu_telemetry::services {
namespace {

namespace json = boost::json;

http::Route route(std::string pattern, std::string id) {
  http::Route made;
  made.pattern = std::move(pattern);
  made.doc.id = std::move(id);
  made.doc.summary = "A summary";
  made.doc.tag = "things";
  made.handler = [](http::Request&) -> boost::asio::awaitable<http::Response> {
    co_return http::Response{};
  };
  return made;
}

json::value build(const http::Router& router, const OpenApiInfo& info = {}) {
  const auto document = openapi_document(router, info);
  EXPECT_TRUE(document) << document.error();
  return document ? json::parse(document->json) : json::value();
}

TEST(OpenApi, HasWhatTheRoutesSay) {
  http::Router router;
  http::Route get = route("/api/things/{id}", "getThing");
  http::ParameterDoc id;
  id.name = "id";
  id.in = "path";
  id.required = true;
  get.doc.parameters.push_back(id);
  http::ResponseDoc found;
  found.description = "It";
  found.schema_json = R"({"$ref":"#/components/schemas/Thing"})";
  found.example = R"({"a":1})";
  get.doc.responses.push_back(found);
  found.media_type = "text/csv";
  found.example.clear();
  get.doc.responses.push_back(found);
  http::Route post = route("/api/things/{id}", "changeThing");
  post.method = http::Method::kPost;
  post.doc.request_schema_json = R"({"type":"object"})";
  ASSERT_TRUE(router.add(get));
  ASSERT_TRUE(router.add(post));
  ASSERT_TRUE(router.add(route("/not/described", "")));
  OpenApiInfo info;
  info.title = "Things";
  info.version = "1";
  info.schemas = {{"Thing", R"({"type":"object"})"}};
  const json::value document = build(router, info);
  EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
  EXPECT_EQ(document.at("info").at("title").as_string(), "Things");
  EXPECT_EQ(document.at("paths").as_object().size(), 1U);
  const json::value& operation = document.at("paths").at("/api/things/{id}").at("get");
  EXPECT_EQ(operation.at("operationId").as_string(), "getThing");
  EXPECT_TRUE(operation.at("parameters").at(0).at("required").as_bool());
  const json::value& content = operation.at("responses").at("200").at("content");
  EXPECT_EQ(content.at("application/json").at("example").at("a").as_int64(), 1);
  EXPECT_TRUE(content.as_object().contains("text/csv"));
  EXPECT_TRUE(operation.at("responses").as_object().contains("401"));
  EXPECT_TRUE(operation.at("responses").as_object().contains("429"));
  EXPECT_FALSE(operation.at("responses").as_object().contains("403"));
  EXPECT_TRUE(operation.at("responses").as_object().contains("default"));
  const json::value& change = document.at("paths").at("/api/things/{id}").at("post");
  EXPECT_TRUE(change.at("requestBody").at("required").as_bool());
  EXPECT_TRUE(change.at("responses").as_object().contains("403"));
  EXPECT_TRUE(document.at("components").at("schemas").as_object().contains("Problem"));
}

TEST(OpenApi, ASchemaThatIsNoJsonIsADefectThatIsNamed) {
  http::Router router;
  http::Route get = route("/things", "getThings");
  http::ResponseDoc broken;
  broken.schema_json = "{";
  get.doc.responses.push_back(broken);
  ASSERT_TRUE(router.add(get));
  const auto document = openapi_document(router, {});
  ASSERT_FALSE(document);
  EXPECT_NE(document.error().message.find("GET /things"), std::string::npos);
}

TEST(OpenApi, YamlQuotesWhatCouldBeTakenForSomethingElse) {
  const json::value value = json::parse(
      R"({"plain":"yes","200":[1,{"a":[],"b":{}},[true,null]],"on":"line\nbreak","x-y":{"$ref":"#/a"}})");
  EXPECT_EQ(to_yaml(value),
            "plain: \"yes\"\n"
            "\"200\":\n"
            "  - 1\n"
            "  - a: []\n"
            "    b: {}\n"
            "  -\n"
            "    - true\n"
            "    - null\n"
            "\"on\": \"line\\nbreak\"\n"
            "x-y:\n"
            "  \"$ref\": \"#/a\"\n");
}

}  // namespace
}  // namespace gpu_telemetry::services
