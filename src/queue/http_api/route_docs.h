// What the queue's routes are documented with: parameters, bodies, answers. docs/protocol.md tells
// the same with the states.
#pragma once

#include <span>
#include <string_view>

#include "http/router.h"

namespace gpu_telemetry::queue {

// Fills in what the operation with that id takes and answers.
void document_route(http::OperationDoc& doc);

// JSON Schemas (2020-12) that the documentation refers to as #/components/schemas/NAME.
struct RouteSchema {
  std::string_view name;
  std::string_view json;
};
std::span<const RouteSchema> route_schemas();

}  // namespace gpu_telemetry::queue
