// What the queue's API says about itself: its OpenAPI document, without a server or an engine.
#pragma once

#include "domain/result.h"
#include "services/openapi/openapi.h"

namespace gpu_telemetry::services {

// Title, words and schemas of the queue's document.
OpenApiInfo queue_info();

// The document of the routes under /api/v1/queue: docs/swagger/. A server adds what else it serves.
Result<OpenApiDocument> queue_document();

}  // namespace gpu_telemetry::services
