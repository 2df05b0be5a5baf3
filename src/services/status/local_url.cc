#include "services/service.h"

namespace gpu_telemetry::services {

std::string local_url(bool tls, const std::string& host, std::uint16_t port) {
  std::string name = host;
  if (name == "::" || name == "0.0.0.0") name = "localhost";
  if (name.find(':') != std::string::npos) name = "[" + name + "]";
  return (tls ? "https://" : "http://") + name + ":" + std::to_string(port);
}

}  // namespace gpu_telemetry::services
