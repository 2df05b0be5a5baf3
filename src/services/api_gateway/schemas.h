// JSON Schemas (2020-12) of what the API answers and takes, by the names under which OpenAPI refers
// to them.
#pragma once

#include <span>
#include <string_view>

#include "services/openapi/openapi.h"

namespace gpu_telemetry::services {

// Each with an example.
std::span<const NamedSchema> api_schemas();

}  // namespace gpu_telemetry::services
