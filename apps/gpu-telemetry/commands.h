// The subcommands. Each gets its settings, says on standard error what went wrong, and returns the
// exit status.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/settings.h"

namespace gpu_telemetry::app {

inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;

// The services run until SIGTERM or SIGINT.
int run_all_in_one(const config::Settings& settings);
int run_streamer(const config::Settings& settings);
int run_queue_service(const config::Settings& settings);
int run_collector(const config::Settings& settings);
int run_api_gateway(const config::Settings& settings);

int run_simulate(const config::Settings& settings);
int run_store_check(const config::Settings& settings);
int run_health(const config::Settings& settings);
// It has no settings: `arguments` are the words after its name.
int run_openapi(std::span<const std::string> arguments);

// "gpu-telemetry: MESSAGE" on standard error.
void complain(std::string_view message);

}  // namespace gpu_telemetry::app
