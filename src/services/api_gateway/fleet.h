// The GPUs that a request is about, and how fresh each is.
#pragma once

#include <optional>
#include <vector>

#include "services/api_gateway/freshness.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {

// The filters of a request: hostname, model_name, namespace, pod, container and state.
struct FleetFilter {
  storage::GpuFilter gpus;
  std::vector<GpuState> states;  // empty: all
};
// Errors: kInvalid for a state that is none.
Result<FleetFilter> parse_fleet_filter(const http::Request& request);

struct FleetGpu {
  GpuRecord record;
  Freshness freshness;
};

// All that match, sorted by UUID. Blocks. Errors: kUnavailable.
Result<std::vector<FleetGpu>> read_fleet(ApiContext& context, const FleetFilter& filter);

// One page of them.
struct FleetPage {
  std::vector<FleetGpu> gpus;
  std::uint64_t total = 0;  // all that match
  bool more = false;        // after this page
};
Result<FleetPage> read_fleet_page(ApiContext& context, const FleetFilter& filter,
                                  std::optional<GpuUuid> after, std::uint64_t limit);

// One GPU. Blocks. Errors: kNotFound, kUnavailable.
Result<FleetGpu> read_fleet_gpu(ApiContext& context, const GpuUuid& uuid);

}  // namespace gpu_telemetry::services
