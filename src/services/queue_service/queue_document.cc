#include "services/queue_service/queue_document.h"

#include <boost/asio/io_context.hpp>

#include "observability/build_info.h"
#include "queue/http_api/queue_routes.h"
#include "queue/http_api/route_docs.h"
#include "queue/memory/memory_queue.h"

namespace gpu_telemetry::services {

OpenApiInfo queue_info() {
  OpenApiInfo info;
  info.title = "GPU telemetry queue";
  info.description =
      "At-least-once delivery to competing consumers, over HTTP. docs/protocol.md has the states.";
  info.version = observability::build_info().version;
  for (const queue::RouteSchema& schema : queue::route_schemas()) {
    info.schemas.push_back({schema.name, schema.json});
  }
  return info;
}

Result<OpenApiDocument> queue_document() {
  boost::asio::io_context context;
  const auto queue =
      queue::make_memory_queue(queue::QueueOptions{}, system_clock(), context.get_executor());
  http::Router router;
  if (auto added = queue::add_queue_routes(router, queue::QueueApiOptions{}, *queue); !added) {
    return added.error();
  }
  auto document = openapi_document(router, queue_info());
  queue->shut_down();
  return document;
}

}  // namespace gpu_telemetry::services
