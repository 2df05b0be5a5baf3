// gpu-telemetry openapi: what the HTTP APIs say about themselves.
#include <cstdio>

#include "commands.h"
#include "services/api_gateway/documents.h"
#include "services/queue_service/queue_document.h"

namespace gpu_telemetry::app {
int run_openapi(std::span<const std::string> arguments) {
  bool of_queue = false;
  bool as_yaml = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    const std::string value = i + 1 < arguments.size() ? arguments[i + 1] : std::string();
    if (flag == "--format" && (value == "json" || value == "yaml")) {
      as_yaml = value == "yaml";
      ++i;
    } else if (flag == "--service" && (value == "api-gateway" || value == "queue-service")) {
      of_queue = value == "queue-service";
      ++i;
    } else {
      complain(
          "usage: gpu-telemetry openapi [--service api-gateway|queue-service] "
          "[--format json|yaml]");
      return kUsage;
    }
  }
  const auto document = of_queue ? services::queue_document() : services::api_document();
  if (!document) {
    complain(document.error().message);
    return kFailure;
  }
  const std::string& text = as_yaml ? document->yaml : document->json;
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kSuccess;
}

}  // namespace gpu_telemetry::app
