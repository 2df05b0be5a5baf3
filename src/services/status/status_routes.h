// /health, /livez, /readyz and /metrics: what every service says about itself, and GET / where it
// has no page.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <vector>

#include "domain/clock.h"
#include "domain/result.h"
#include "http/router.h"
#include "observability/health.h"
#include "observability/metrics.h"

namespace gpu_telemetry::services {

// References outlive the server that answers.
struct StatusOptions {
  const Clock& clock;
  observability::Health& health;
  observability::Metrics& metrics;
  // Dependencies that are asked at each /health and /readyz, beside the conditions of `health`; not
  // ready unless all are ok. May be empty. Must answer soon: probes wait for it.
  std::function<boost::asio::awaitable<std::vector<observability::Health::Check>>()> ask = {};
  // Awaited before the text of /metrics is made; may be empty.
  std::function<boost::asio::awaitable<void>()> before_metrics = {};
};

// Errors: kConflict for a route that is there already.
Result<void> add_status_routes(http::Router& router, StatusOptions options);

// GET /: what this is, and what else can be asked of `router` as it is now. `page` may answer in
// its place: for a browser.
using MakePage = std::function<std::optional<http::Response>(const http::Request&)>;
Result<void> add_index_route(http::Router& router, MakePage page = {});

}  // namespace gpu_telemetry::services
