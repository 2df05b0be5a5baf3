#include "queue/http_client/service_calls.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <utility>

#include "http/encoding.h"
#include "observability/log.h"
#include "queue/http_api/bodies.h"

namespace gpu_telemetry::queue {
namespace {

using concurrency::MutexLock;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::size_t kLargestProblem = 64 << 10;
// The least that Retry-After can say. Our service says it when it is full or about to stop, and
// both may be over much sooner: whoever calls has pauses of their own for that.
constexpr seconds kLeastRetryAfter{1};
constexpr seconds kLongestRespite{60};

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

std::optional<Error> ServiceCalls::too_early(std::string_view what) {
  const auto now = steady_clock::now();
  const MutexLock lock(mutex_);
  for (const std::string_view of : {std::string_view(), what}) {
    const auto found = respites_.find(of);
    if (found == respites_.end()) continue;
    if (now < found->second.until) return found->second.why;
    respites_.erase(found);
  }
  return std::nullopt;
}

void ServiceCalls::heed(std::string_view what, const http::ClientResponse& answer,
                        const Error& error) {
  if (answer.status != 429 && answer.status != 503) return;
  const std::string_view text = http::trim(answer.headers.get("Retry-After"));
  unsigned asked = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), asked);
  if (problem != std::errc() || end != text.data() + text.size()) return;  // none, or a date
  const seconds pause = std::min<seconds>(seconds{asked}, kLongestRespite);
  if (pause <= kLeastRetryAfter) return;
  const MutexLock lock(mutex_);
  respites_.insert_or_assign(std::string(answer.status == 503 ? std::string_view() : what),
                             Respite{steady_clock::now() + pause, error});
}

Async<Result<std::string>> ServiceCalls::send(ServiceCall call) {
  const std::string what = call.target.substr(0, call.target.find('?'));
  if (auto early = too_early(what)) co_return std::move(*early);
  http::ClientRequest request;
  request.method = call.method;
  request.target = "/api/v1/queue/" + call.target;
  request.headers.add("Accept", std::string(kBinaryMediaType));
  if (!call.body.empty()) request.headers.add("Content-Type", std::string(kBinaryMediaType));
  const std::string token = options_.token ? options_.token() : std::string();
  if (!token.empty()) request.headers.add("Authorization", "Bearer " + token);
  request.body = std::move(call.body);
  request.timeout = std::min(options_.request_timeout + call.extra_time, call.longest);
  request.idempotent = call.idempotent;
  request.hangup = call.hangup;
  Result<http::ClientResponse> answer = co_await client_->send(std::move(request));
  if (!answer) {
    Error error = answer.error();
    const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != boost::asio::cancellation_type::none) {
      error.code = ErrorCode::kCancelled;  // by whoever asked, which says nothing of the service
    }
    if (error.code == ErrorCode::kCancelled) co_return error;
    note(false, error.message);
    // Whoever answers without sound HTTP, or without end, is not the service now.
    error.code = ErrorCode::kUnavailable;
    co_return error;
  }
  Result<std::string> body = understand(call, *answer);
  if (!body) heed(what, *answer, body.error());
  const bool away = !body && body.error().code == ErrorCode::kUnavailable;
  note(!away, away ? std::string_view(body.error().message) : std::string_view());
  co_return body;
}

Result<std::string> ServiceCalls::understand(const ServiceCall& call,
                                             http::ClientResponse& answer) const {
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
