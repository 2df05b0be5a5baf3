// The reading half of a session.
#include <algorithm>
#include <boost/asio/error.hpp>
#include <utility>

#include "http/encoding.h"
#include "http/session.h"
#include "http/worker.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kLongestRequestId = 128;
// A client that announces a large body must send some of it before it gets memory for the rest.
constexpr std::size_t kFirstBodyPart = 64 << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

bool is_sane_id(std::string_view id) {
  return !id.empty() && id.size() <= kLongestRequestId &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

bool Session::refuse(const HeadProblem& refusal) {
  failure_ = refusal;
  response_ = problem(refusal.status, refusal.detail);
  if (refusal.status == 503) response_.headers.add("Retry-After", "1");
  linger_ = close_ = true;
  return false;
}

// One read into the buffer. False: nothing came, and nothing will.
asio::awaitable<bool> Session::read_more() {
  if (timed_out_ || cut_) co_return false;
  char* const into = input_.prepare();
  const asio::mutable_buffer room(into, input_.room());
  const auto [error, size] = co_await stream_.read_some(room);
  if (error) co_return false;
  input_.commit(size);
  co_return true;
}

// Empty lines before a request are skipped (RFC 9112 section 2.2). False while half of one is
// there.
bool Session::skip_blank_lines() {
  while (input_.view().substr(0, 2) == "\r\n") input_.consume(2);
  return input_.view() != "\r";
}

asio::awaitable<bool> Session::read_head() {
  const ServerOptions& options = worker_.state().options;
  failure_.reset();
  request_ = Request{};
  let_go_of_body();
  line_ = RequestLine{};
  framing_ = Framing{};
  raw_target_.clear();
  route_ = nullptr;
  close_ = linger_ = false;
  bytes_sent_ = 0;
  error_ = {};
  scanner_.reset();
  phase_ = Phase::kIdle;
  arm(options.idle_timeout);
  for (;;) {
    const bool at_start = phase_ == Phase::kIdle;
    if ((!at_start || skip_blank_lines()) && !input_.empty()) {
      if (at_start) {
        phase_ = Phase::kReading;
        started_ = std::chrono::steady_clock::now();
        arm(options.read_timeout);
      }
      const HeadScanner::State state = scanner_.scan(input_.view());
      if (state == HeadScanner::State::kComplete) co_return understand_head();
      if (state == HeadScanner::State::kProblem) co_return refuse(scanner_.problem());
    }
    if (input_.empty()) input_.shrink();
    if (phase_ == Phase::kIdle && worker_.draining() && !stream_.has_input()) co_return false;
    const bool more = co_await read_more();
    if (more) continue;
    const bool woken_to_drain = phase_ == Phase::kIdle && !timed_out_ && worker_.draining();
    if (woken_to_drain && !cut_ && stream_.has_input()) continue;  // it came just in time
    if (phase_ == Phase::kReading) on_read_error();
    co_return false;
  }
}

// The client left or was too slow in the middle of a request.
void Session::on_read_error() {
  if (timed_out_ && !cut_) refuse(408, "the request did not arrive in time");
}

bool Session::understand_head() {
  started_ = std::chrono::steady_clock::now();
  const std::optional<HeadProblem> problem = parse_head();
  input_.consume(scanner_.head_size());
  const std::string_view wanted_id = request_.headers.get("X-Request-Id");
  request_.id = is_sane_id(wanted_id) ? std::string(wanted_id) : worker_.make_request_id();
  if (problem) return refuse(*problem);
  Router::Match match = worker_.state().router.match(request_);
  route_ = match.route;
  allow_ = std::move(match.allow);
  return true;
}

std::optional<HeadProblem> Session::parse_head() {
  const std::string_view head = input_.view().substr(0, scanner_.head_size());
  const std::size_t first_line = scanner_.first_line_size();
  if (auto wrong = parse_request_line(head.substr(0, first_line - 2), line_)) return wrong;
  raw_target_ = line_.target;
  if (raw_target_.size() > worker_.state().options.max_target_size.bytes) {
    return HeadProblem{414, "the target is longer than this server accepts"};
  }
  const HeadLimits limits;
  if (auto wrong =
          parse_fields(head.substr(first_line), limits.max_fields, request_.headers, framing_)) {
    return wrong;
  }
  if (auto wrong = check_request_framing(line_, framing_)) return wrong;
  if (!line_.method) return HeadProblem{501, "this server does not know the method"};
  request_.method = *line_.method;
  request_.remote_address = remote_address_;
  return parse_target();
}

std::optional<HeadProblem> Session::parse_target() {
  Target target;
  if (auto wrong = split_target(raw_target_, target)) return wrong;
  if (framing_.hosts > 0) {
    if (auto wrong = check_same_host(target, request_.headers.get("Host"))) return wrong;
  }
  Result<std::string> path = percent_decode(target.path, Plus::kItself);
  if (!path) {
    return HeadProblem{400,
                       "the path must be percent-encoded UTF-8: '%' and two hexadecimal digits"};
  }
  if (path->find('\0') != std::string::npos) return HeadProblem{400, "the path has a NUL"};
  request_.path = std::move(*path);
  request_.raw_query = target.query;
  Result<QueryParameters> query = QueryParameters::parse(target.query);
  if (!query) {
    return HeadProblem{400,
                       "the query must be percent-encoded UTF-8: '%' and two hexadecimal digits"};
  }
  request_.query = std::move(*query);
  return std::nullopt;
}

asio::awaitable<bool> Session::read_body(std::uint64_t limit) {
  if (framing_.content_length.value_or(0) > limit) {
    co_return refuse(413, "the body is longer than this server accepts");
  }
  if (framing_.expect_continue && line_.minor_version == 1 && input_.empty()) {
    output_ = Output{asio::buffer(kContinue)};
    const bool sent = co_await send();
    if (!sent) co_return false;
    arm(worker_.state().options.read_timeout);
  }
  bool whole = false;
  if (framing_.chunked) {
    whole = co_await read_chunked_body(limit);
  } else {
    whole = co_await read_sized_body(static_cast<std::size_t>(*framing_.content_length));
  }
  if (!whole && !failure_) on_read_error();
  co_return whole;
}

// Whether a body of this size may be in memory beside those of all other connections.
bool Session::hold_body(std::uint64_t size) {
  if (size <= held_) return true;
  const std::uint64_t more = std::max(size - held_, std::uint64_t{kFirstBodyPart});
  if (!worker_.hold_body(more)) {
    return refuse(503, "the bodies of other requests fill the memory that there is for them");
  }
  held_ += more;
  return true;
}

void Session::let_go_of_body() {
  if (held_ > 0) worker_.let_go_of_body(std::exchange(held_, 0));
}

asio::awaitable<bool> Session::read_sized_body(std::size_t length) {
  std::string& body = request_.body;
  const std::size_t held = std::min(length, input_.size());
  body.assign(input_.view().substr(0, held));
  input_.consume(held);
  std::size_t filled = held;
  while (filled < length) {
    if (filled == body.size()) {
      const std::size_t larger = std::min(length, std::max(kFirstBodyPart, filled * 2));
      if (!hold_body(larger)) co_return false;
      body.resize(larger);
    }
    if (timed_out_ || cut_) co_return false;
    const asio::mutable_buffer room(body.data() + filled, body.size() - filled);
    const auto [error, size] = co_await stream_.read_some(room);
    if (error) co_return false;
    filled += size;
  }
  co_return true;
}

asio::awaitable<bool> Session::read_chunked_body(std::uint64_t limit) {
  ChunkDecoder decoder(limit);
  for (;;) {
    std::size_t consumed = 0;
    const ChunkDecoder::State state = decoder.decode(input_.view(), request_.body, consumed);
    input_.consume(consumed);
    if (!hold_body(request_.body.size())) co_return false;
    switch (state) {
      case ChunkDecoder::State::kComplete:
        co_return true;
      case ChunkDecoder::State::kMalformed:
        co_return refuse(400, "the body's chunks are malformed");
      case ChunkDecoder::State::kTooLarge:
        co_return refuse(413, "the body is longer than this server accepts");
      case ChunkDecoder::State::kNeedMore:
        break;
    }
    const bool more = co_await read_more();
    if (!more) co_return false;
  }
}

}  // namespace gpu_telemetry::http
