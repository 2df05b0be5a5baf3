#include "http/message.h"

#include <algorithm>
#include <iterator>

#include "http/encoding.h"

namespace gpu_telemetry::http {
namespace {

// Ascending. RFC 9110 section 15, and the registry of status codes.
constexpr std::pair<int, std::string_view> kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

}  // namespace

std::string_view to_string(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kHead:
      return "HEAD";
    case Method::kPost:
      return "POST";
    case Method::kPut:
      return "PUT";
    case Method::kPatch:
      return "PATCH";
    case Method::kDelete:
      return "DELETE";
    case Method::kOptions:
      return "OPTIONS";
    case Method::kTrace:
      return "TRACE";
    case Method::kQuery:
      break;
  }
  return "QUERY";
}

void Headers::add(std::string name, std::string value) {
  entries_.emplace_back(std::move(name), std::move(value));
}

void Headers::set(std::string_view name, std::string value) {
  const auto same = [&](const auto& entry) { return equal_ignoring_case(entry.first, name); };
  const auto first = std::find_if(entries_.begin(), entries_.end(), same);
  if (first == entries_.end()) {
    entries_.emplace_back(std::string(name), std::move(value));
    return;
  }
  first->second = std::move(value);
  entries_.erase(std::remove_if(first + 1, entries_.end(), same), entries_.end());
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [key, value] : entries_) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return {};
}

bool Headers::contains(std::string_view name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const auto& entry) { return equal_ignoring_case(entry.first, name); });
}

Result<QueryParameters> QueryParameters::parse(std::string_view encoded) {
  QueryParameters parameters;
  while (!encoded.empty()) {
    const std::string_view pair = encoded.substr(0, encoded.find('&'));
    encoded.remove_prefix(std::min(pair.size() + 1, encoded.size()));
    if (pair.empty()) continue;  // "a=1&&b=2": browsers and libraries produce it
    const std::string_view name = pair.substr(0, pair.find('='));
    const std::string_view value =
        name.size() == pair.size() ? std::string_view{} : pair.substr(name.size() + 1);
    Result<std::string> decoded_name = percent_decode(name, Plus::kSpace);
    if (!decoded_name) return decoded_name.error().at("the name of a query parameter");
    Result<std::string> decoded_value = percent_decode(value, Plus::kSpace);
    if (!decoded_value) {
      return decoded_value.error().at("query parameter '" + *decoded_name + "'");
    }
    parameters.entries_.emplace_back(std::move(*decoded_name), std::move(*decoded_value));
  }
  return parameters;
}

std::optional<std::string_view> QueryParameters::get(std::string_view name) const {
  for (const auto& [key, value] : entries_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> QueryParameters::get_all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : entries_) {
    if (key == name) values.emplace_back(value);
  }
  return values;
}

std::string_view Request::path_parameter(std::string_view name) const {
  for (const auto& [key, value] : path_parameters) {
    if (key == name) return value;
  }
  return {};
}

Response text_response(int status, std::string body) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", "text/plain; charset=utf-8");
  response.body = std::move(body);
  return response;
}

Response json_response(int status, std::string json) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  response.body = std::move(json);
  return response;
}

Response problem(int status, std::string_view detail) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/problem+json");
  response.body = R"({"type":"about:blank","title":)";
  response.body += json_string(reason_phrase(status));
  response.body += R"(,"status":)" + std::to_string(status);
  if (!detail.empty()) response.body += R"(,"detail":)" + json_string(detail);
  response.body += '}';
  return response;
}

Response problem(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
      return problem(400, error.message);
    case ErrorCode::kNotFound:
      return problem(404, error.message);
    case ErrorCode::kConflict:
      return problem(409, error.message);
    case ErrorCode::kFull:
    case ErrorCode::kUnavailable: {
      Response response = problem(503, error.message);
      response.headers.add("Retry-After", "1");
      return response;
    }
    case ErrorCode::kCorrupt:
      return problem(500, "what is stored is damaged: " + error.message);
    case ErrorCode::kCancelled:
    case ErrorCode::kInternal:
      break;
  }
  return problem(500, "the server could not answer this request; its log says why");
}

std::string_view reason_phrase(int status) {
  const auto* const found =
      std::lower_bound(std::begin(kReasons), std::end(kReasons), status,
                       [](const auto& entry, int wanted) { return entry.first < wanted; });
  return found != std::end(kReasons) && found->first == status ? found->second : "Unknown";
}

}  // namespace gpu_telemetry::http
