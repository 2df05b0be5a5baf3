// Serves the dashboard and Swagger UI.
#pragma once

#include "domain/result.h"
#include "http/router.h"

namespace gpu_telemetry::services {

// A route for each file. Errors: kConflict.
Result<void> add_web_routes(http::Router& router);

// The dashboard's page. It and its scripts are all that it may load, and it may be framed by
// nobody.
http::Response dashboard_page();

// Whether the client prefers a page to data: a browser does, curl does not.
bool wants_page(const http::Request& request);

}  // namespace gpu_telemetry::services
