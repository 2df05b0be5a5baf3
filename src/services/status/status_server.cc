#include "services/status/status_server.h"

#include <utility>

namespace gpu_telemetry::services {

Result<std::unique_ptr<http::Server>> listen_for_status(const std::string& host, std::uint16_t port,
                                                        std::shared_ptr<tls::TlsContext> tls,
                                                        StatusOptions options) {
  http::ServerOptions server;
  server.name = "status";
  server.host = host;
  server.port = port;
  server.threads = 1;
  server.tls = std::move(tls);
  server.max_connections = 100;
  server.metrics = &options.metrics;
  server.log_requests = false;  // probes and scrapes, several a minute for ever
  http::Router router;
  if (auto added = add_status_routes(router, std::move(options)); !added) return added.error();
  if (auto added = add_index_route(router); !added) return added.error();
  return http::Server::listen(std::move(server), std::move(router));
}

}  // namespace gpu_telemetry::services
