// A table of routes as an OpenAPI 3.1 document: what a server answers and what is said about it
// come from one place.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "http/router.h"

namespace gpu_telemetry::services {

struct NamedSchema {
  std::string_view name;
  std::string_view json;  // JSON Schema 2020-12
};

struct OpenApiInfo {
  std::string title;
  std::string description;  // Markdown
  std::string version;
  // Those that routes refer to as #/components/schemas/NAME, beside `Problem`, which is ours.
  std::vector<NamedSchema> schemas;
  // Which routes may ask for a bearer token and may be refused for asking too often: those whose
  // path begins with this. Their 401, 403 (unless they are GET) and 429 are documented.
  std::string guarded_prefix = "/api/";
};

// Both documents say the same. Routes without an id are left out. Every operation also has a
// `default` answer: a problem, for what any request may be refused for (404, 405, 408, 413, 414,
// 431, 500, 503).
struct OpenApiDocument {
  std::string json;
  std::string yaml;
};
// Errors: kInternal, naming the route or schema whose JSON cannot be parsed.
Result<OpenApiDocument> openapi_document(const http::Router& router, const OpenApiInfo& info);

// Adds /openapi.json and /openapi.yaml, which describe all of the router's routes, these included,
// and fills in `document`, which they serve.
Result<void> add_openapi_routes(http::Router& router, const OpenApiInfo& info,
                                const std::shared_ptr<OpenApiDocument>& document);

}  // namespace gpu_telemetry::services
