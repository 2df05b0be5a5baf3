#include "observability/build_info.h"

#include "gpu_telemetry_revision.h"  // written by cmake/WriteRevision.cmake at each build

namespace gpu_telemetry::observability {
namespace {

#if defined(__clang__)
constexpr std::string_view kCompiler = "Clang " __clang_version__;
#else
constexpr std::string_view kCompiler = "GCC " __VERSION__;
#endif

}  // namespace

const BuildInfo& build_info() {
  static constexpr BuildInfo info{GPU_TELEMETRY_VERSION, GPU_TELEMETRY_REVISION, kCompiler};
  return info;
}

}  // namespace gpu_telemetry::observability
