// Serves one fixed body at /, for comparing the HTTP server with others.
//   http_fixed_server PORT BODY_BYTES THREADS
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "http/server.h"
#include "observability/log.h"

namespace gpu_telemetry {
namespace {

int serve(std::uint16_t port, std::size_t body_bytes, unsigned threads) {
  observability::configure_logging(observability::LogLevel::kWarn, observability::LogFormat::kText,
                                   "http_fixed_server");
  http::Route route;
  route.pattern = "/";
  const std::string body(body_bytes, 'x');
  route.handler = [&body](http::Request&) -> boost::asio::awaitable<http::Response> {
    co_return http::text_response(200, body);
  };
  http::Router router;
  if (const auto added = router.add(std::move(route)); !added) return EXIT_FAILURE;
  http::ServerOptions options;
  options.port = port;
  options.threads = threads;
  options.log_requests = false;
  auto server = http::Server::listen(options, std::move(router));
  if (!server) {
    std::cerr << server.error() << '\n';
    return EXIT_FAILURE;
  }
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  (*server)->start();
  int signal = 0;
  sigwait(&stop, &signal);
  (*server)->stop(std::chrono::seconds{1});
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace gpu_telemetry

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: http_fixed_server PORT BODY_BYTES THREADS\n";
    return EXIT_FAILURE;
  }
  return gpu_telemetry::serve(static_cast<std::uint16_t>(std::strtoul(argv[1], nullptr, 10)),
                              std::strtoul(argv[2], nullptr, 10),
                              static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)));
}
