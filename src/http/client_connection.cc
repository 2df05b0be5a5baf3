#include "http/client_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>
#include <vector>

#include "domain/duration.h"
#include "http/chunk_decoder.h"
#include "http/encoding.h"
#include "http/response_head.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto kOnStrand = asio::as_tuple(asio::use_awaitable_t<Strand>{});
constexpr std::size_t kFirstBodyPart = 64 << 10;
constexpr HeadLimits kAnswerLimits{8 << 10, 64 << 10, 256};
constexpr int kMaxInterimAnswers = 16;

// Headers that the client sets itself.
bool belongs_to_client(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kOwn = {
      "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect"};
  return std::any_of(kOwn.begin(), kOwn.end(),
                     [&](std::string_view own) { return equal_ignoring_case(name, own); });
}

}  // namespace

bool ClientConnection::stale() {
  if (!input.empty()) return true;
  char byte = 0;
  const ssize_t size = ::recv(socket.native_handle(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

StrandAwaitable<Result<void>> ClientConnection::begin_tls(
    std::shared_ptr<asio::ssl::context> context, const std::string& host) {
  tls_ = std::make_unique<Tls>(socket, std::move(context));
  SSL* const connection = tls_->stream.native_handle();
  boost::system::error_code not_numeric;
  asio::ip::make_address(host, not_numeric);
  if (not_numeric) {
    SSL_set1_host(connection, host.c_str());
    // Server Name Indication is for names alone (RFC 6066 section 3).
    SSL_set_tlsext_host_name(connection, host.c_str());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host.c_str());
  }
  const auto [error] =
      co_await tls_->stream.async_handshake(asio::ssl::stream_base::client, kOnStrand);
  if (!error) co_return Result<void>();
  co_return unavailable(tls::handshake_problem(connection, error));
}

StrandAwaitable<ClientConnection::Outcome> ClientConnection::read_some(asio::mutable_buffer room) {
  if (tls_) return tls_->stream.async_read_some(room, kOnStrand);
  return socket.async_read_some(room, kOnStrand);
}

StrandAwaitable<ClientConnection::Outcome> ClientConnection::write(
    const std::array<asio::const_buffer, 2>& parts) {
  if (tls_) return asio::async_write(tls_->stream, parts, kOnStrand);
  return asio::async_write(socket, parts, kOnStrand);
}

Exchange::Exchange(const Strand& strand, const Origin& origin, const ClientOptions& options,
                   const ClientRequest& request)
    : strand_(strand),
      origin_(origin),
      options_(options),
      request_(request),
      end_(std::chrono::steady_clock::now() + request.timeout),
      resolver_(strand.get_inner_executor()),
      timer_(strand.get_inner_executor()) {}

void Exchange::arm(Time deadline) {
  deadline_ = deadline;
  timer_.expires_at(deadline);
  auto expire = [self = shared_from_this()](const boost::system::error_code& error) {
    const bool superseded = self->deadline_ > std::chrono::steady_clock::now();
    if (error || self->finished_ || superseded) return;
    self->timed_out_ = true;
    self->resolver_.cancel();
    boost::system::error_code ignored;
    if (self->connection_ != nullptr) self->connection_->socket.close(ignored);
  };
  timer_.async_wait(asio::bind_executor(strand_, std::move(expire)));
}

void Exchange::heed_hangup() {
  if (request_.hangup == nullptr) return;
  request_.hangup->on_hang_up([weak = weak_from_this(), strand = strand_] {
    asio::post(strand, [weak] {
      const auto self = weak.lock();
      if (self == nullptr || self->finished_) return;
      self->hung_up_ = true;
      if (self->written_) self->close_sending_half();
    });
  });
}

void Exchange::close_sending_half() {
  boost::system::error_code ignored;  // of a connection that is broken, as reading will find
  if (connection_ != nullptr) connection_->socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void Exchange::finish() {
  finished_ = true;
  timer_.cancel();
}

Error Exchange::broken(std::string_view doing, const boost::system::error_code& error) const {
  const std::string_view path =
      std::string_view(request_.target).substr(0, request_.target.find('?'));
  std::string where =
      std::string(to_string(request_.method)) + " " + origin_.url() + std::string(path) + ": ";
  if (timed_out_) {
    const bool connecting = deadline_ < end_;
    where += connecting ? "no connection within " + format_duration(options_.connect_timeout)
                        : "no complete answer within " + format_duration(request_.timeout);
    return unavailable(where + " (while " + std::string(doing) + ")");
  }
  return unavailable(where + std::string(doing) + " failed: " + error.message());
}

Error Exchange::refused(const HeadProblem& problem) const {
  const std::string message =
      origin_.url() + ": the answer is not sound HTTP/1.1: " + std::string(problem.detail);
  return problem.status == 431 || problem.status == 413 ? full(message) : corrupt(message);
}

Error Exchange::too_large() const {
  return full(origin_.url() + ": the answer is larger than " +
              format_byte_size(options_.max_response_size));
}

StrandAwaitable<Result<void>> Exchange::connect() {
  arm(std::min(end_, std::chrono::steady_clock::now() + options_.connect_timeout));
  std::vector<tcp::endpoint> endpoints;
  boost::system::error_code not_numeric;
  const asio::ip::address address = asio::ip::make_address(origin_.host, not_numeric);
  if (!not_numeric) {
    endpoints.emplace_back(address, static_cast<std::uint16_t>(std::stoul(origin_.port)));
  } else {
    const auto [error, found] =
        co_await resolver_.async_resolve(origin_.host, origin_.port, kOnStrand);
    if (error || timed_out_) co_return broken("resolving the host's name", error);
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  }
  connection_ = std::make_unique<ClientConnection>(strand_.get_inner_executor());
  const auto [error, endpoint] =
      co_await asio::async_connect(connection_->socket, endpoints, kOnStrand);
  if (error || timed_out_) co_return broken("connecting", error);
  boost::system::error_code ignored;  // it only makes small requests faster
  connection_->socket.set_option(tcp::no_delay(true), ignored);
  if (!origin_.tls) co_return Result<void>();
  const Result<void> secured =
      co_await connection_->begin_tls(options_.tls->current(), origin_.host);
  if (!secured && timed_out_) co_return broken("the TLS handshake", {});
  if (!secured) co_return unavailable(origin_.url() + ": no TLS: " + secured.error().message);
  co_return Result<void>();
}

StrandAwaitable<Result<ClientResponse>> Exchange::converse() {
  arm(end_);
  reusable_ = closed_unanswered_ = written_ = false;
  response_ = ClientResponse{};
  if (hung_up_) co_return cancelled("the request was given up before it was sent");
  const Result<void> written = co_await write_request();
  if (!written) co_return written.error();
  written_ = true;
  if (hung_up_) close_sending_half();
  int interim = 0;
  do {
    const Result<void> head = co_await read_head();
    if (!head) co_return head.error();
  } while (status_.status < 200 && ++interim <= kMaxInterimAnswers);
  if (status_.status < 200) co_return corrupt(origin_.url() + ": only 1xx answers");
  const Result<void> body = co_await read_body();
  if (!body) co_return body.error();
  co_return std::move(response_);
}

std::unique_ptr<ClientConnection> Exchange::take_connection() {
  if (!reusable_ || timed_out_ || hung_up_ || !connection_->input.empty()) return nullptr;
  return std::move(connection_);
}

void Exchange::build_head() {
  head_ = to_string(request_.method);
  head_ += ' ';
  head_ += origin_.path_prefix;
  head_ += request_.target;
  head_ += " HTTP/1.1\r\nHost: ";
  head_ += origin_.authority;
  if (!request_.headers.contains("User-Agent")) head_ += "\r\nUser-Agent: gpu-telemetry";
  const bool usually_has_body = request_.method == Method::kPost ||
                                request_.method == Method::kPut ||
                                request_.method == Method::kPatch;
  if (!request_.body.empty() || usually_has_body) {
    head_ += "\r\nContent-Length: " + std::to_string(request_.body.size());
  }
  for (const auto& [name, value] : request_.headers.all()) {
    if (!belongs_to_client(name)) head_ += "\r\n" + name + ": " + value;
  }
  head_ += "\r\n\r\n";
}

StrandAwaitable<Result<void>> Exchange::write_request() {
  build_head();
  const std::array<asio::const_buffer, 2> parts = {asio::buffer(head_),
                                                   asio::buffer(request_.body)};
  const auto [error, size] = co_await connection_->write(parts);
  if (!error && !timed_out_) co_return Result<void>();
  // A server may refuse a large body before it has read all of it: its answer is worth more than
  // the broken pipe, and the reading that follows finds it or the same error.
  const bool refused_midway = size > head_.size() && !timed_out_;
  if (refused_midway) co_return Result<void>();
  closed_unanswered_ = true;
  co_return broken("sending the request", error);
}

StrandAwaitable<Result<void>> Exchange::read_more() {
  InputBuffer& input = connection_->input;
  char* const into = input.prepare();
  const asio::mutable_buffer room(into, input.room());
  const auto [error, size] = co_await connection_->read_some(room);
  if (error || timed_out_) co_return broken("reading the answer", error);
  input.commit(size);
  co_return Result<void>();
}

StrandAwaitable<Result<void>> Exchange::read_head() {
  InputBuffer& input = connection_->input;
  HeadScanner scanner(kAnswerLimits);
  HeadScanner::State state = HeadScanner::State::kNeedMore;
  while (state == HeadScanner::State::kNeedMore) {
    if (!input.empty()) state = scanner.scan(input.view());
    if (state != HeadScanner::State::kNeedMore) break;
    const Result<void> more = co_await read_more();
    if (!more) {
      closed_unanswered_ = input.empty() && status_.status == 0;
      co_return more.error();
    }
  }
  if (state == HeadScanner::State::kProblem) co_return refused(scanner.problem());
  const std::string_view head = input.view().substr(0, scanner.head_size());
  const std::size_t first_line = scanner.first_line_size();
  framing_ = Framing{};
  response_.headers = Headers{};
  auto problem = parse_status_line(head.substr(0, first_line - 2), status_);
  if (!problem) {
    problem = parse_fields(head.substr(first_line), kAnswerLimits.max_fields, response_.headers,
                           framing_);
  }
  if (problem) co_return refused(*problem);
  response_.status = status_.status;
  input.consume(scanner.head_size());
  co_return Result<void>();
}

StrandAwaitable<Result<void>> Exchange::read_body() {
  reusable_ = !framing_.close && (status_.minor_version == 1 || framing_.keep_alive);
  if (request_.method == Method::kHead || has_no_body(status_.status)) co_return Result<void>();
  Result<void> read;
  if (framing_.chunked) {
    read = co_await read_chunked_body();
  } else if (framing_.content_length) {
    if (*framing_.content_length > options_.max_response_size.bytes) {
      read = too_large();
    } else {
      read = co_await read_sized_body(static_cast<std::size_t>(*framing_.content_length));
    }
  } else {
    reusable_ = false;
    read = co_await read_body_until_close();
  }
  if (!read) reusable_ = false;
  co_return read;
}

StrandAwaitable<Result<void>> Exchange::read_sized_body(std::size_t length) {
  InputBuffer& input = connection_->input;
  std::string& body = response_.body;
  std::size_t filled = std::min(length, input.size());
  body.assign(input.view().substr(0, filled));
  input.consume(filled);
  while (filled < length) {
    if (filled == body.size()) body.resize(std::min(length, std::max(kFirstBodyPart, filled * 2)));
    const asio::mutable_buffer room(body.data() + filled, body.size() - filled);
    const auto [error, size] = co_await connection_->read_some(room);
    if (error || timed_out_) co_return broken("reading the answer's body", error);
    filled += size;
  }
  co_return Result<void>();
}

StrandAwaitable<Result<void>> Exchange::read_chunked_body() {
  InputBuffer& input = connection_->input;
  ChunkDecoder decoder(options_.max_response_size.bytes);
  for (;;) {
    std::size_t consumed = 0;
    const ChunkDecoder::State state = decoder.decode(input.view(), response_.body, consumed);
    input.consume(consumed);
    if (state == ChunkDecoder::State::kComplete) co_return Result<void>();
    if (state == ChunkDecoder::State::kTooLarge) co_return too_large();
    if (state == ChunkDecoder::State::kMalformed) {
      co_return corrupt(origin_.url() + ": the answer's chunks are malformed");
    }
    const Result<void> more = co_await read_more();
    if (!more) co_return more.error();
  }
}

StrandAwaitable<Result<void>> Exchange::read_body_until_close() {
  InputBuffer& input = connection_->input;
  for (;;) {
    response_.body.append(input.view());
    input.consume(input.size());
    if (response_.body.size() > options_.max_response_size.bytes) co_return too_large();
    char* const into = input.prepare();
    const asio::mutable_buffer room(into, input.room());
    const auto [error, size] = co_await connection_->read_some(room);
    if (error == asio::error::eof && !timed_out_) co_return Result<void>();
    if (error || timed_out_) co_return broken("reading the answer's body", error);
    input.commit(size);
  }
}

}  // namespace gpu_telemetry::http
