// The files of the dashboard and of Swagger UI, inside the program. Made of web/ when it is built.
#pragma once

#include <span>
#include <string_view>

namespace gpu_telemetry::services {

struct WebAsset {
  std::string_view path;  // "/index.html"
  std::string_view media_type;
  std::string_view body;
  bool is_named_by_content = false;  // another content has another path
};

std::span<const WebAsset> web_assets();

}  // namespace gpu_telemetry::services
