#include "services/web/web_routes.h"

#include <algorithm>
#include <string>

#include "services/web/web_assets.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::string_view kPage = "/index.html";

// Swagger UI sets styles and shows images that it carries in its own text.
constexpr std::string_view kDashboardPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
constexpr std::string_view kSwaggerPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
    "data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

http::Response serve(const WebAsset& asset) {
  http::Response response;
  response.headers.add("Content-Type", std::string(asset.media_type));
  response.headers.add("Cache-Control", asset.is_named_by_content
                                            ? "public, max-age=31536000, immutable"
                                            : "no-cache");
  response.headers.add("X-Content-Type-Options", "nosniff");
  response.headers.add("Referrer-Policy", "no-referrer");
  const bool swagger = asset.path.starts_with("/swagger/");
  response.headers.add("Content-Security-Policy",
                       std::string(swagger ? kSwaggerPolicy : kDashboardPolicy));
  response.body = asset.body;
  return response;
}

}  // namespace

Result<void> add_web_routes(http::Router& router) {
  for (const WebAsset& asset : web_assets()) {
    http::Route route;
    route.pattern = asset.path;
    route.handler = [&asset](http::Request&) -> boost::asio::awaitable<http::Response> {
      co_return serve(asset);
    };
    if (auto added = router.add(std::move(route)); !added) return added;
  }
  return {};
}

http::Response dashboard_page() {
  const auto assets = web_assets();
  const auto page = std::ranges::find(assets, kPage, &WebAsset::path);
  return page == assets.end() ? http::problem(404, "this program was built without its dashboard")
                              : serve(*page);
}

bool wants_page(const http::Request& request) {
  return request.headers.get("Accept").find("text/html") != std::string_view::npos;
}

}  // namespace gpu_telemetry::services
