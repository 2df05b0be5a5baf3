#include "queue/http_client/service_calls.h"

#include <boost/json/parse.hpp>
#include <utility>

#include "http/encoding.h"
#include "observability/log.h"
#include "queue/http_api/bodies.h"

namespace gpu_telemetry::queue {
namespace {

constexpr std::size_t kLargestProblem = 64 << 10;

// The sentence of a problem document, or the status alone.
std::string detail_of(const http::ClientResponse& answer) {
  const std::string status = std::to_string(answer.status);
  if (answer.body.size() > kLargestProblem) return status;
  boost::system::error_code error;
  const boost::json::value document = boost::json::parse(answer.body, error);
  if (error || !document.is_object()) return status;
  const auto* const detail = document.as_object().if_contains("detail");
  if (detail == nullptr || !detail->is_string()) return status;
  const auto& text = detail->as_string();
  return std::string(text.data(), text.size());
}

bool is_binary(const http::ClientResponse& answer) {
  return http::equal_ignoring_case(http::trim(answer.headers.get("Content-Type")),
                                   kBinaryMediaType);
}

}  // namespace

std::string encode_query_value(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '_' || c == '-';
    if (plain) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

Async<Result<std::string>> ServiceCalls::send(ServiceCall call) {
  http::ClientRequest request;
  request.method = call.method;
  request.target = "/api/v1/queue/" + call.target;
  request.headers.add("Accept", std::string(kBinaryMediaType));
  if (!call.body.empty()) request.headers.add("Content-Type", std::string(kBinaryMediaType));
  const std::string token = options_.token ? options_.token() : std::string();
  if (!token.empty()) request.headers.add("Authorization", "Bearer " + token);
  request.body = std::move(call.body);
  request.timeout = options_.request_timeout + call.extra_time;
  request.idempotent = call.idempotent;
  request.hangup = call.hangup;
  Result<http::ClientResponse> answer = co_await client_->send(std::move(request));
  if (!answer) {
    Error error = answer.error();
    if (error.code == ErrorCode::kCancelled) co_return error;
    note(false, error.message);
    // Whoever answers without sound HTTP, or without end, is not the service now.
    error.code = ErrorCode::kUnavailable;
    co_return error;
  }
  Result<std::string> body = understand(call, std::move(*answer));
  const bool away = !body && body.error().code == ErrorCode::kUnavailable;
  note(!away, away ? std::string_view(body.error().message) : std::string_view());
  co_return body;
}

Result<std::string> ServiceCalls::understand(const ServiceCall& call,
                                             http::ClientResponse answer) const {
  if (answer.status == 200 && is_binary(answer)) return std::move(answer.body);
  const std::string_view after = answer.headers.get("Retry-After");
  std::string message = "queue service " + options_.url + ": ";
  message += answer.status == 200 ? "the answer is not a queue service's" : detail_of(answer);
  if (!after.empty()) message += " (it asks to come again in " + std::string(after) + " s)";
  switch (answer.status) {
    case 400:
    case 405:
    case 413:
    case 414:
    case 415:
      return invalid(std::move(message));
    case 404:
      if (call.can_be_missing) return not_found(std::move(message));
      return unavailable(std::move(message));
    case 409:
      return conflict(std::move(message));
    case 429:
      return full(std::move(message));
    default:
      return unavailable(std::move(message));
  }
}

// One line when the service comes and one when it goes.
void ServiceCalls::note(bool reached, std::string_view trouble) {
  if (reached_.exchange(reached ? 1 : 0) == (reached ? 1 : 0)) return;
  if (reached) {
    observability::log_info("queue client: the queue service answers", {{"url", options_.url}});
  } else {
    observability::log_warn("queue client: the queue service cannot be used",
                            {{"url", options_.url}, {"error", trouble}});
  }
}

}  // namespace gpu_telemetry::queue
