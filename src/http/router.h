// Routes are a table: what a server answers, and what OpenAPI is made of.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace gpu_telemetry::http {

using Handler = std::function<boost::asio::awaitable<Response>(Request&)>;

struct ParameterDoc {
  std::string name;
  std::string in;  // "path", "query", "header"
  std::string description;
  bool required = false;
  std::string schema_json = R"({"type":"string"})";
};

struct ResponseDoc {
  int status = 200;
  std::string description;
  std::string media_type = "application/json";
  std::string schema_json;  // empty: no body
  std::string example;
};

// For OpenAPI; a handler works without.
struct OperationDoc {
  std::string id;
  std::string summary;
  std::string description;
  std::string tag;
  std::vector<ParameterDoc> parameters;
  std::string request_schema_json;  // empty: no body
  std::vector<ResponseDoc> responses;
};

struct Route {
  Method method = Method::kGet;
  std::string pattern;  // "/api/v1/gpus/{uuid}/telemetry"; a segment is literal or one placeholder
  Handler handler;
  OperationDoc doc;
  // Bodies longer than this are answered 413 before they are read. 0: the server's limit.
  std::size_t max_body = 0;
  // Sees the request before its body is read: what this returns is the answer, and the body stays
  // unread. Null: everybody is let in.
  std::function<std::optional<Response>(const Request&)> gate;
};

// Filled before the server starts, then read by all its threads. A GET route answers HEAD as well,
// without the body. A literal segment wins over a placeholder, from left to right, among the routes
// that have the method. A placeholder stands for one whole segment that is not empty; paths are
// matched as decoded, so that an encoded slash separates segments like a plain one.
class Router {
 public:
  // Errors: kInvalid for a malformed pattern, kConflict for a route that is there already.
  Result<void> add(Route route);

  struct Match {
    const Route* route = nullptr;  // null: 404, or 405 when `allow` is not empty
    std::string allow;             // "GET, HEAD, POST"
  };
  // Sets request.path_parameters on a match.
  Match match(Request& request) const;

  // In the order in which they were added.
  const std::vector<Route>& routes() const { return routes_; }

 private:
  // A tree of segments: each node is what can stand after one prefix. Indices, so that a router can
  // be copied and moved.
  struct Node {
    std::vector<std::pair<std::string, std::size_t>> literals;  // segment, node
    std::size_t placeholder = 0;                                // node; 0: none
    std::vector<std::size_t> routes;                            // those that end here
  };
  struct Search;

  void search(std::size_t node, std::string_view rest, Search& state) const;
  const Route* route_at(const Node& node, Method method) const;

  std::vector<Route> routes_;
  std::vector<std::vector<std::string>> placeholders_;  // names of each route's, left to right
  std::vector<Node> nodes_ = std::vector<Node>(1);      // the first is the root
};

}  // namespace gpu_telemetry::http
