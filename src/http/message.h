// Requests and responses as handlers see them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "domain/result.h"

namespace gpu_telemetry::http {

// Those that a route may have, and TRACE and QUERY, which none has: they are 405 like any other
// that a resource does not answer, and not methods that the server does not know (501).
enum class Method { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions, kTrace, kQuery };
std::string_view to_string(Method method);

// Names compare without regard to case (RFC 9110 section 5.1); order is kept.
class Headers {
 public:
  void add(std::string name, std::string value);
  void set(std::string_view name, std::string value);  // replaces all of that name
  // The first of that name; empty when there is none.
  std::string_view get(std::string_view name) const;
  bool contains(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

// A query string or a form, decoded (RFC 3986 percent-encoding; `+` is a space). Order is kept.
class QueryParameters {
 public:
  // Errors: kInvalid for a bad percent-encoding or invalid UTF-8, naming the parameter.
  static Result<QueryParameters> parse(std::string_view encoded);
  std::optional<std::string_view> get(std::string_view name) const;  // the first
  std::vector<std::string_view> get_all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

// What can make an answer pointless or urgent while its handler, or its stream, is at work. Belongs
// to the request's connection and is used on its thread.
class Interruption {
 public:
  enum class Why {
    kNone,
    kClientLeft,   // it closed the connection or its sending half, or the connection broke
    kServerStops,  // the server drains: whoever waits should answer what there is
  };
  virtual ~Interruption() = default;
  virtual Why why() const = 0;
  // Calls `then` once, from the connection's loop and never from within this call, when there is a
  // reason; at the loop's next turn when there is one already. Takes the place of what was there;
  // null: nothing is called. What is still there when the answer ends is forgotten. While a client
  // has sent bytes of a further request, its leaving shows only in the next write.
  virtual void notify(std::function<void()> then) = 0;
};

// Lives as long as its handler runs, and the stream of its response.
struct Request {
  Method method = Method::kGet;
  std::string path;  // percent-decoded, starts with '/'
  std::string raw_query;
  QueryParameters query;
  Headers headers;
  std::string body;
  // Values of the route's {placeholders}, decoded, by name.
  std::vector<std::pair<std::string, std::string>> path_parameters;
  std::string remote_address;
  // From X-Request-Id when the client sent a sane one (at most 128 of [A-Za-z0-9._-]), else made
  // up.
  std::string id;
  // Never null in a handler that a server calls.
  Interruption* interruption = nullptr;

  std::string_view path_parameter(std::string_view name) const;
};

// Where a streamed body goes. Used by one coroutine at a time.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  // Sends one chunk; resumes when the socket took it, so a slow reader slows the writer.
  // Errors: kUnavailable when the client is gone or too slow (write time-out), or the server stops.
  virtual boost::asio::awaitable<Result<void>> write(std::string_view chunk) = 0;
  // Whether the server is draining: endless streams end themselves then.
  virtual bool stopping() const = 0;
};

struct Response {
  int status = 200;
  Headers headers;  // Content-Length, Transfer-Encoding, Date and Connection belong to the server
  std::string body;
  // Not empty: the body is what this writes, sent in chunks (to an HTTP/1.0 client: until close);
  // `body` is ignored. An error ends the connection without the last chunk, so that the client sees
  // that the answer is incomplete.
  std::function<boost::asio::awaitable<Result<void>>(BodyWriter&)> stream;
};

Response text_response(int status, std::string body);
Response json_response(int status, std::string json);

// RFC 9457 application/problem+json: type about:blank, the status's standard title, and `detail`.
Response problem(int status, std::string_view detail);
// The same with the status that fits the error's code: kInvalid 400, kNotFound 404, kConflict 409,
// kFull and kUnavailable 503 with Retry-After, others 500 (whose detail is not shown to the
// client).
Response problem(const Error& error);

std::string_view reason_phrase(int status);

}  // namespace gpu_telemetry::http
