// What this binary was built from.
#pragma once

#include <string_view>

namespace gpu_telemetry::observability {

struct BuildInfo {
  std::string_view version;   // 0.1.0
  std::string_view revision;  // the commit, with "-dirty" when files differed, or "unknown"
  std::string_view compiler;  // GCC 12.2.0
};

const BuildInfo& build_info();

}  // namespace gpu_telemetry::observability
