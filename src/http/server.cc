#include "http/server.h"

#include <prometheus/gauge.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "http/worker.h"
#include "observability/log.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

// Cut sessions end as soon as their loop runs; only a handler that ignores its cancellation does
// not.
constexpr std::chrono::milliseconds kAfterCut{1000};

std::string place(const ServerOptions& options, std::uint16_t port) {
  const bool v6 = options.host.find(':') != std::string::npos;
  return (v6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(port);
}

Error bind_error(const ServerOptions& options, std::uint16_t port,
                 const boost::system::error_code& error) {
  const std::string where =
      "server '" + options.name + "' cannot listen on " + place(options, port);
  if (error == asio::error::address_in_use) {
    return conflict(where + ": the address is in use; stop who uses it or choose another port");
  }
  if (error == boost::system::errc::address_not_available) {
    return invalid(where + ": this machine has no such address");
  }
  return unavailable(where + ": " + error.message());
}

Result<tcp::endpoint> resolve(const ServerOptions& options) {
  asio::io_context context;
  tcp::resolver resolver(context);
  boost::system::error_code error;
  std::string host = options.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const auto found =
      resolver.resolve(host, std::to_string(options.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return invalid("server '" + options.name + "': host '" + options.host +
                   "' is neither an address nor a name that resolves: " + error.message());
  }
  return found.begin()->endpoint();
}

struct Binding {
  tcp::endpoint endpoint;
  bool shared = false;  // several acceptors on one port
  bool listen = true;
};

Result<Acceptor> bind(asio::io_context& context, const ServerOptions& options,
                      const Binding& binding) {
  Acceptor acceptor(context);
  boost::system::error_code error;
  acceptor.open(binding.endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && binding.shared) acceptor.set_option(ReusePort(true), error);
  if (!error && binding.endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(false), error);
  }
  if (!error) acceptor.bind(binding.endpoint, error);
  if (!error && binding.listen) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return bind_error(options, binding.endpoint.port(), error);
  return acceptor;
}

// What a connection takes that waits for a request: 8 and 75 KiB with 4,000 of them, and some room.
constexpr std::uint64_t kConnectionMemory = 16 << 10;
constexpr std::uint64_t kTlsConnectionMemory = 96 << 10;

// Past this many connections that are being told 503, further ones are closed without a word.
constexpr std::uint32_t kMaxRefused = 256;

// How many connections this process can have open and still open the files that it works with.
std::uint64_t connections_that_files_allow() {
  constexpr std::uint64_t kOtherFiles = 256;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  return limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur / 2, kOtherFiles);
}

class TcpServer final : public Server {
 public:
  TcpServer(ServerOptions options, Router router) {
    state_.options = std::move(options);
    state_.router = std::move(router);
    if (state_.options.metrics != nullptr) {
      state_.open_connections = &state_.options.metrics->gauge(
          "gpu_telemetry_http_open_connections", "Connections that are open, by server.",
          {{"server", state_.options.name}});
    }
  }

  ~TcpServer() override { stop(std::chrono::milliseconds{0}); }

  Result<void> listen() {
    const ServerOptions& options = state_.options;
    const Result<tcp::endpoint> endpoint = resolve(options);
    if (!endpoint) return endpoint.error();
    unsigned threads = options.threads;
    if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
    fit_to_memory();
    state_.max_unsent = options.max_unsent.bytes / threads;
    Binding binding{*endpoint, threads > 1, true};
    if (binding.shared && endpoint->port() != 0) {
      // Two processes of one user could share the port without noticing; one that shares it not
      // finds out.
      asio::io_context context;
      Binding probe{*endpoint, false, false};
      const Result<Acceptor> free = bind(context, options, probe);
      if (!free) return free.error();
    }
    for (unsigned i = 0; i < threads; ++i) {
      workers_.push_back(std::make_unique<Worker>(state_));
      Result<Acceptor> acceptor = bind(workers_.back()->context(), options, binding);
      if (!acceptor) return acceptor.error();
      port_ = acceptor->local_endpoint().port();
      binding.endpoint.port(port_);
      workers_.back()->set_acceptor(std::move(*acceptor));
    }
    return {};
  }

  void start() override {
    if (running_) return;
    running_ = true;
    for (const auto& worker : workers_) worker->start();
    observability::log_info("listening", {{"server", state_.options.name},
                                          {"address", place(state_.options, port_)},
                                          {"threads", workers_.size()}});
  }

  std::uint16_t port() const override { return port_; }

  void stop(std::chrono::milliseconds grace) override {
    if (running_) {
      state_.draining = true;
      for (const auto& worker : workers_) worker->drain();
      if (!wait_until_idle(grace)) {
        for (const auto& worker : workers_) worker->cut();
        wait_until_idle(kAfterCut);
      }
    }
    for (const auto& worker : workers_) worker->finish();
    running_ = false;
  }

 private:
  void fit_to_memory() {
    ServerOptions& options = state_.options;
    std::uint64_t share = options.memory.bytes / 8;
    if (share == 0) share = std::numeric_limits<std::uint64_t>::max();
    options.max_bodies = std::min(options.max_bodies, ByteSize{share});
    options.max_unsent = std::min(options.max_unsent, ByteSize{share});
    const std::uint64_t files = connections_that_files_allow();
    const std::uint64_t memory =
        share / (options.tls != nullptr ? kTlsConnectionMemory : kConnectionMemory);
    limit_connections(std::min(files, memory), files < memory
                                                   ? "raise the limit of open files (ulimit -n)"
                                                   : "raise the limit of the memory");
  }

  void limit_connections(std::uint64_t allowed, std::string_view right) {
    const std::uint32_t wanted = state_.options.max_connections;
    state_.max_connections = wanted;
    state_.max_refused = kMaxRefused;
    if (allowed >= std::uint64_t{wanted} + kMaxRefused) return;
    state_.max_refused = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(kMaxRefused, std::max<std::uint64_t>(allowed / 8, 1)));
    const std::uint64_t left = allowed - std::min<std::uint64_t>(allowed, state_.max_refused);
    state_.max_connections = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(left, 1, wanted));
    if (state_.max_connections == wanted) return;
    observability::log_warn("fewer connections than asked for: this process cannot have more",
                            {{"server", state_.options.name},
                             {"connections", state_.max_connections},
                             {"asked_for", wanted},
                             {"right", right}});
  }

  bool wait_until_idle(std::chrono::milliseconds longest) {
    std::unique_lock lock(state_.mutex);
    return state_.session_ended.wait_for(lock, longest, [this] { return state_.idle(); });
  }

  ServerState state_;
  std::vector<std::unique_ptr<Worker>> workers_;  // after the state, which they use
  std::uint16_t port_ = 0;
  bool running_ = false;
};

}  // namespace

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options, Router router) {
  auto server = std::make_unique<TcpServer>(std::move(options), std::move(router));
  const Result<void> listening = server->listen();
  if (!listening) return listening.error();
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace gpu_telemetry::http
