#include "services/api_gateway/fleet_gauges.h"

#include <prometheus/gauge.h>

#include <array>
#include <string>

#include "services/api_gateway/fleet.h"
#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {

boost::asio::awaitable<void> FleetGauges::update() {
  const Result<void> answers = co_await probe_.ask();
  if (!answers) co_return;
  auto read = [&context = context_] { return read_fleet(context, {}); };
  const auto fleet = co_await read_storage(context_, std::move(read));
  if (!fleet) co_return;
  constexpr std::array kStates = {GpuState::kLive, GpuState::kStale, GpuState::kGone};
  std::array<std::size_t, kStates.size()> counts{};
  for (const FleetGpu& gpu : *fleet) ++counts[static_cast<std::size_t>(gpu.freshness.state)];
  for (const GpuState state : kStates) {
    metrics_
        .gauge("gpu_telemetry_gpus", "GPUs that storage knows, by how fresh their telemetry is",
               {{"state", std::string(to_string(state))}})
        .Set(static_cast<double>(counts[static_cast<std::size_t>(state)]));
  }
}

}  // namespace gpu_telemetry::services
