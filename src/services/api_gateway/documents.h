// What the API says about itself: its OpenAPI document, without a server or a store.
#pragma once

#include "domain/result.h"
#include "services/openapi/openapi.h"

namespace gpu_telemetry::services {

// Title, words and schemas of the gateway's document.
OpenApiInfo api_info();

// The document of the gateway's own routes: docs/swagger/. A server adds what else it serves.
Result<OpenApiDocument> api_document();

}  // namespace gpu_telemetry::services
