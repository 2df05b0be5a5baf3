// What happens to every request of the gateway before its handler, and to every answer after it:
// who may ask and how often, parameters that nobody knows, entity tags, gzip, CORS.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "domain/clock.h"
#include "http/router.h"
#include "services/api_gateway/api_tokens.h"
#include "services/api_gateway/rate_limit.h"

namespace gpu_telemetry::services {

struct FrontDoorOptions {
  // Pages of these origins may read answers (the CORS protocol of the Fetch standard): exact, such
  // as https://grafana.example:3000, or `*` for all. Empty: only pages that the gateway serves.
  std::vector<std::string> cors_origins;
  // Requests of one client address in a second; 0: any number. Probes and /metrics do not count.
  double rate_limit = 0;
  // The text of the file of tokens, as it is now (api_tokens.h). Empty: no token is needed.
  std::function<std::string()> tokens;
};

// Origins with commas between them. Errors: kInvalid for one that is neither `*` nor
// scheme://host[:port].
Result<std::vector<std::string>> parse_cors_origins(std::string_view text);

// Outlives the routes that it guards.
class FrontDoor {
 public:
  // `pool` is for compressing long answers.
  FrontDoor(FrontDoorOptions options, const Clock& clock, boost::asio::thread_pool& pool);

  // The route with the door before its handler. What lies under /api/v1/ needs a token when there
  // are tokens: GET one of any role, other methods one of the role admin. A query parameter that
  // the documentation of a GET below /api/v1/ does not name is 400.
  http::Route guard(http::Route route);

  // A route that answers the preflight requests of `pattern`, for when there are CORS origins.
  bool has_cors() const { return !options_.cors_origins.empty(); }
  http::Route preflight(const std::string& pattern, const std::string& methods) const;

  bool has_tokens() const { return tokens_ != nullptr; }

 private:
  struct Rules {
    http::Handler handler;
    std::set<std::string, std::less<>> parameters;
    std::string known;  // the same as a sentence
    bool is_api = false;
    bool is_probe = false;
    bool changes = false;
    bool checks_parameters = false;
  };

  boost::asio::awaitable<http::Response> serve(const Rules& rules, http::Request& request);
  // 400, 401, 403 or 429; nothing when the handler may be asked.
  std::unique_ptr<http::Response> refusal(const Rules& rules, const http::Request& request);
  boost::asio::awaitable<void> encode(const Rules& rules, const http::Request& request,
                                      http::Response& response);
  void add_cors_headers(const http::Request& request, http::Response& response) const;
  std::string_view allowed_origin(const http::Request& request) const;

  const FrontDoorOptions options_;
  boost::asio::thread_pool& pool_;
  RateLimit rate_limit_;
  std::unique_ptr<ApiTokens> tokens_;
};

}  // namespace gpu_telemetry::services
