// gpu-telemetry openapi: what the HTTP APIs say about themselves.
#include <boost/asio/io_context.hpp>
#include <cstdio>

#include "commands.h"
#include "http/router.h"
#include "observability/build_info.h"
#include "queue/http_api/queue_routes.h"
#include "queue/http_api/route_docs.h"
#include "queue/memory/memory_queue.h"
#include "services/api_gateway/documents.h"

namespace gpu_telemetry::app {
namespace {

Result<services::OpenApiDocument> queue_document() {
  boost::asio::io_context context;
  const auto queue =
      queue::make_memory_queue(queue::QueueOptions{}, system_clock(), context.get_executor());
  http::Router router;
  if (auto added = queue::add_queue_routes(router, queue::QueueApiOptions{}, *queue); !added) {
    return added.error();
  }
  services::OpenApiInfo info;
  info.title = "GPU telemetry queue";
  info.description =
      "At-least-once delivery to competing consumers, over HTTP. docs/protocol.md has the states.";
  info.version = observability::build_info().version;
  for (const queue::RouteSchema& schema : queue::route_schemas()) {
    info.schemas.push_back({schema.name, schema.json});
  }
  auto document = services::openapi_document(router, info);
  queue->shut_down();
  return document;
}

}  // namespace

int run_openapi(std::span<const std::string> arguments) {
  bool of_queue = false;
  bool as_yaml = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    const std::string value = i + 1 < arguments.size() ? arguments[i + 1] : std::string();
    if (flag == "--format" && (value == "json" || value == "yaml")) {
      as_yaml = value == "yaml";
      ++i;
    } else if (flag == "--service" && (value == "api-gateway" || value == "queue-service")) {
      of_queue = value == "queue-service";
      ++i;
    } else {
      complain(
          "usage: gpu-telemetry openapi [--service api-gateway|queue-service] "
          "[--format json|yaml]");
      return kUsage;
    }
  }
  const auto document = of_queue ? queue_document() : services::api_document();
  if (!document) {
    complain(document.error().message);
    return kFailure;
  }
  const std::string& text = as_yaml ? document->yaml : document->json;
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kSuccess;
}

}  // namespace gpu_telemetry::app
