#include "http/client.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <mutex>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "http/client_connection.h"
#include "http/encoding.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port > 0 && port <= 65535;
}

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

Result<void> check(const ClientRequest& request) {
  if (request.target.empty() || request.target[0] != '/' || !is_visible(request.target)) {
    return invalid("the target of a request must start with '/' and be percent-encoded");
  }
  for (const auto& [name, value] : request.headers.all()) {
    if (!is_token(name)) return invalid("'" + name + "' is no name of a header");
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      return invalid("the value of header " + name + " must not have a line break or a NUL");
    }
  }
  return {};
}

class PooledClient final : public Client, public std::enable_shared_from_this<PooledClient> {
 public:
  PooledClient(ClientOptions options, Origin origin, asio::any_io_executor executor)
      : options_(std::move(options)), origin_(std::move(origin)), executor_(std::move(executor)) {}

  asio::awaitable<Result<ClientResponse>> send(ClientRequest request) override {
    const Result<void> sound = check(request);
    if (!sound) co_return sound.error();
    const Strand strand(executor_);
    // The exchange owns the client and the request: it may outlive the caller's coroutine.
    auto exchange = run(shared_from_this(), strand, std::move(request));
    co_return co_await asio::co_spawn(strand, std::move(exchange), asio::use_awaitable);
  }

 private:
  using Connection = std::unique_ptr<ClientConnection>;

  // On `strand`. When it is cancelled its connection goes with it, and never back to the pool.
  static StrandAwaitable<Result<ClientResponse>> run(std::shared_ptr<PooledClient> self,
                                                     Strand strand, ClientRequest request) {
    const auto exchange =
        std::make_shared<Exchange>(strand, self->origin_, self->options_, request);
    const Finisher finisher{*exchange};
    exchange->heed_hangup();
    Connection pooled = self->take_idle();
    if (pooled != nullptr) {
      exchange->use(std::move(pooled));
      Result<ClientResponse> answer = co_await exchange->converse();
      if (answer || !exchange->closed_unanswered() || !request.idempotent) {
        self->give_back(exchange->take_connection());
        co_return answer;
      }
    }
    const Result<void> connected = co_await exchange->connect();
    if (!connected) co_return connected.error();
    Result<ClientResponse> answer = co_await exchange->converse();
    self->give_back(exchange->take_connection());
    co_return answer;
  }

  struct Finisher {
    Exchange& exchange;
    ~Finisher() { exchange.finish(); }
  };

  // The connection that was used last, which is the least likely to be closed by now.
  Connection take_idle() {
    const std::lock_guard lock(mutex_);
    drop_expired();
    while (!idle_.empty()) {
      Connection connection = std::move(idle_.back());
      idle_.pop_back();
      if (!connection->stale()) return connection;
    }
    return nullptr;
  }

  void give_back(Connection connection) {
    if (connection == nullptr) return;
    connection->idle_since = std::chrono::steady_clock::now();
    connection->input.shrink();
    const std::lock_guard lock(mutex_);
    drop_expired();
    if (idle_.size() < options_.max_idle_connections) idle_.push_back(std::move(connection));
  }

  void drop_expired() {
    const auto oldest = std::chrono::steady_clock::now() - options_.idle_timeout;
    std::erase_if(idle_, [&](const Connection& entry) { return entry->idle_since < oldest; });
  }

  const ClientOptions options_;
  const Origin origin_;
  const asio::any_io_executor executor_;
  std::mutex mutex_;
  std::vector<Connection> idle_;  // guarded by mutex_; the last one was used last
};

}  // namespace

Result<Origin> Origin::parse(std::string_view url) {
  const Error wrong =
      invalid("URL '" + std::string(url) + "' must be http[s]://HOST[:PORT][/PATH]");
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  const bool tls = equal_ignoring_case(url.substr(0, kTls.size()), kTls);
  if (!tls && !equal_ignoring_case(url.substr(0, kPlain.size()), kPlain)) return wrong;
  std::string_view rest = url.substr(tls ? kTls.size() : kPlain.size());
  const std::string_view authority = rest.substr(0, rest.find('/'));
  std::string_view path = rest.substr(authority.size());
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  if (!is_visible(url) || rest.find_first_of("?#@\\") != std::string_view::npos) return wrong;
  Origin origin;
  origin.tls = tls;
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return wrong;
    boost::system::error_code error;
    origin.host = authority.substr(1, end - 1);
    asio::ip::make_address_v6(origin.host, error);
    if (error) return wrong;
    port = authority.substr(end + 1);
  } else {
    origin.host = authority.substr(0, authority.find(':'));
    port = authority.substr(origin.host.size());
  }
  if (origin.host.empty()) return wrong;
  if (!port.empty() && (port.front() != ':' || !is_port(port.substr(1)))) return wrong;
  origin.port = port.empty() ? (tls ? "443" : "80") : std::string(port.substr(1));
  origin.authority = authority;
  origin.path_prefix = path;
  return origin;
}

void Hangup::hang_up() {
  std::vector<std::function<void()>> then;
  {
    const std::lock_guard lock(mutex_);
    hung_up_ = true;
    then.swap(then_);
  }
  for (const auto& each : then) each();
}

void Hangup::on_hang_up(std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    if (!hung_up_) {
      then_.push_back(std::move(then));
      return;
    }
  }
  then();
}

Result<std::shared_ptr<Client>> Client::create(ClientOptions options,
                                               asio::any_io_executor executor) {
  Result<Origin> origin = Origin::parse(options.base_url);
  if (!origin) return origin.error();
  if (origin->tls && options.tls == nullptr) {
    auto trusted = tls::TlsContext::for_client({}, system_clock());
    if (!trusted) return trusted.error();
    options.tls = std::move(*trusted);
  }
  return std::shared_ptr<Client>(
      std::make_shared<PooledClient>(std::move(options), std::move(*origin), std::move(executor)));
}

}  // namespace gpu_telemetry::http
