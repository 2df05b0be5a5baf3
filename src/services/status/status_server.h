// The server of a service that has no API of its own: /health, /livez, /readyz, /metrics.
#pragma once

#include <memory>
#include <string>

#include "http/server.h"
#include "services/status/status_routes.h"

namespace gpu_telemetry::services {

// One thread; HTTPS with `tls`. Errors: as http::Server::listen.
Result<std::unique_ptr<http::Server>> listen_for_status(const std::string& host, std::uint16_t port,
                                                        std::shared_ptr<tls::TlsContext> tls,
                                                        StatusOptions options);

}  // namespace gpu_telemetry::services
