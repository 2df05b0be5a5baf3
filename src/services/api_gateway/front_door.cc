#include "services/api_gateway/front_door.h"

#include <algorithm>

#include "http/encoding.h"
#include "services/api_gateway/content_coding.h"
#include "services/api_gateway/media_type.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

constexpr std::string_view kApiPrefix = "/api/v1/";
// They check their parameters themselves.
constexpr std::string_view kQueuePrefix = "/api/v1/queue/";
// Below it gzip gains nothing.
constexpr std::size_t kLeastCompressed = 1024;

bool is_probe(std::string_view pattern) {
  return pattern == "/health" || pattern == "/livez" || pattern == "/readyz" ||
         pattern == "/metrics";
}

std::unique_ptr<http::Response> refuse(int status, std::string_view detail) {
  return std::make_unique<http::Response>(http::problem(status, detail));
}

}  // namespace

Result<std::vector<std::string>> parse_cors_origins(std::string_view text) {
  std::vector<std::string> origins;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const std::string_view origin = http::trim(part);
    if (origin.empty()) continue;
    const std::size_t scheme = origin.find("://");
    const bool is_origin = scheme != std::string_view::npos && scheme > 0 &&
                           origin.size() > scheme + 3 &&
                           origin.find_first_of("/ ?#", scheme + 3) == std::string_view::npos;
    if (origin != "*" && !is_origin) {
      return invalid("'" + std::string(origin) +
                     "' is not an origin: a scheme, a host and maybe a port, such as "
                     "https://grafana.example:3000, or *");
    }
    origins.emplace_back(origin);
  }
  return origins;
}

FrontDoor::FrontDoor(FrontDoorOptions options, const Clock& clock, boost::asio::thread_pool& pool)
    : options_(std::move(options)), pool_(pool), rate_limit_(options_.rate_limit, clock) {
  if (options_.tokens) tokens_ = std::make_unique<ApiTokens>(options_.tokens);
}

http::Route FrontDoor::guard(http::Route route) {
  auto rules = std::make_shared<Rules>();
  rules->handler = std::move(route.handler);
  rules->is_api = route.pattern.starts_with(kApiPrefix);
  rules->is_probe = is_probe(route.pattern);
  rules->changes = route.method != http::Method::kGet;
  rules->checks_parameters = rules->is_api && !route.pattern.starts_with(kQueuePrefix);
  for (const http::ParameterDoc& parameter : route.doc.parameters) {
    if (parameter.in != "query") continue;
    rules->known += rules->known.empty() ? "" : ", ";
    rules->known += parameter.name;
    rules->parameters.insert(parameter.name);
  }
  route.handler = [this, rules](http::Request& request) { return serve(*rules, request); };
  return route;
}

http::Route FrontDoor::preflight(const std::string& pattern, const std::string& methods) const {
  http::Route route;
  route.method = http::Method::kOptions;
  route.pattern = pattern;
  route.handler = [this, methods](http::Request& request) -> awaitable<http::Response> {
    http::Response response;
    response.status = 204;
    add_cors_headers(request, response);
    if (response.headers.contains("Access-Control-Allow-Origin")) {
      response.headers.set("Access-Control-Allow-Methods", methods);
      response.headers.set(
          "Access-Control-Allow-Headers",
          "Authorization, Content-Type, If-None-Match, Last-Event-ID, X-Request-Id");
      response.headers.set("Access-Control-Max-Age", "600");
    }
    co_return response;
  };
  return route;
}

std::unique_ptr<http::Response> FrontDoor::refusal(const Rules& rules,
                                                   const http::Request& request) {
  if (rules.is_probe) return nullptr;
  if (const std::uint64_t wait = rate_limit_.take(request.remote_address); wait > 0) {
    std::string detail = "more than ";
    json::append_number(detail, options_.rate_limit);
    detail += " requests in a second from this address (API_RATE_LIMIT); ask again in " +
              std::to_string(wait) + " s";
    auto response = refuse(429, detail);
    response->headers.set("Retry-After", std::to_string(wait));
    return response;
  }
  if (rules.is_api && tokens_ != nullptr) {
    const ApiRole role = tokens_->role_of(request.headers.get("Authorization"));
    if (role == ApiRole::kNone) {
      auto response = refuse(401,
                             "this needs a token: Authorization: Bearer TOKEN, with one of "
                             "those that API_TOKENS_FILE lists");
      response->headers.set("WWW-Authenticate", "Bearer realm=\"gpu-telemetry\"");
      return response;
    }
    if (rules.changes && role != ApiRole::kAdmin) {
      return refuse(403,
                    "this changes something, and the token may only read; it needs one that "
                    "API_TOKENS_FILE lists as TOKEN:admin");
    }
  }
  if (!rules.checks_parameters) return nullptr;
  for (const auto& [name, value] : request.query.all()) {
    if (rules.parameters.contains(name)) continue;
    std::string detail = "'" + name.substr(0, 60) + "' is not a parameter here; ";
    detail += rules.known.empty() ? "there is none" : "known are " + rules.known;
    return refuse(400, detail);
  }
  return nullptr;
}

awaitable<http::Response> FrontDoor::serve(const Rules& rules, http::Request& request) {
  http::Response response;
  if (auto refused = refusal(rules, request)) {
    response = std::move(*refused);
  } else {
    response = co_await rules.handler(request);
  }
  co_await encode(rules, request, response);
  if (has_cors()) add_cors_headers(request, response);
  co_return response;
}

awaitable<void> FrontDoor::encode(const Rules& rules, const http::Request& request,
                                  http::Response& response) {
  const bool reads = request.method == http::Method::kGet || request.method == http::Method::kHead;
  const bool whole = response.stream == nullptr;
  if (response.headers.contains("Content-Encoding")) co_return;  // somebody knew better
  std::string tag(response.headers.get("ETag"));
  if (reads && whole && response.status == 200 && tag.empty() && !rules.is_probe) {
    tag = entity_tag(response.body);
    response.headers.set("ETag", tag);
    // May be kept, and must be asked for again before it is used.
    if (!response.headers.contains("Cache-Control")) {
      response.headers.set("Cache-Control", "no-cache");
    }
  }
  const bool can_compress = is_compressible(response.headers.get("Content-Type"));
  if (can_compress) response.headers.add("Vary", "Accept-Encoding");
  if (!tag.empty() && reads && names_tag(request.headers.get("If-None-Match"), tag)) {
    response.status = 304;
    response.body.clear();
    co_return;
  }
  if (!can_compress || !accepts_gzip(request.headers.get("Accept-Encoding"))) co_return;
  if (!whole) {
    compress_stream(response, pool_);
  } else if (response.body.size() >= kLeastCompressed) {
    if (!tag.empty()) response.headers.set("ETag", gzip_tag(tag));
    co_await compress(response, pool_);
  }
}

std::string_view FrontDoor::allowed_origin(const http::Request& request) const {
  const std::string_view origin = request.headers.get("Origin");
  for (const std::string& allowed : options_.cors_origins) {
    if (allowed == "*") return "*";
    if (!origin.empty() && allowed == origin) return allowed;
  }
  return {};
}

void FrontDoor::add_cors_headers(const http::Request& request, http::Response& response) const {
  const std::string_view origin = allowed_origin(request);
  if (origin != "*") response.headers.add("Vary", "Origin");
  if (origin.empty()) return;
  response.headers.set("Access-Control-Allow-Origin", std::string(origin));
  response.headers.set("Access-Control-Expose-Headers", "ETag, Link, Retry-After, X-Request-Id");
}

}  // namespace gpu_telemetry::services
