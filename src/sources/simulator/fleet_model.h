// The state of a simulated fleet from pass to pass. Private to the simulator.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/gpu.h"
#include "sources/simulator/random.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {

// The ten metrics of each GPU and pass, in the order in which the exporter's files have them, then
// the metrics of events.
enum SimulatedMetric : std::uint8_t {
  kGpuUtil,
  kMemCopyUtil,
  kPowerUsage,
  kGpuTemp,
  kFbUsed,
  kFbFree,
  kDecUtil,
  kEncUtil,
  kSmClock,
  kMemClock,
  kXidErrors,
  kThrottleReasons,
  kEccSingleBit,
  kEccDoubleBit,
};
inline constexpr std::size_t kRegularMetrics = 10;
inline constexpr std::size_t kSimulatedMetrics = 14;

inline constexpr std::array<std::string_view, kSimulatedMetrics> kSimulatedMetricNames = {
    "DCGM_FI_DEV_GPU_UTIL",          "DCGM_FI_DEV_MEM_COPY_UTIL",
    "DCGM_FI_DEV_POWER_USAGE",       "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_FB_USED",           "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_DEC_UTIL",          "DCGM_FI_DEV_ENC_UTIL",
    "DCGM_FI_DEV_SM_CLOCK",          "DCGM_FI_DEV_MEM_CLOCK",
    "DCGM_FI_DEV_XID_ERRORS",        "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS",
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"};

inline constexpr std::string_view kSimulatedModel = "NVIDIA H100 80GB HBM3";
inline constexpr std::string_view kSimulatedDriver = "535.129.03";

// What one pass read of one GPU.
struct SimulatedReadings {
  // Whole numbers in the metric's unit; power in thousandths of it.
  std::array<std::int64_t, kSimulatedMetrics> values{};
  std::uint16_t present = 0;  // by metric: bit 1 << metric
  std::uint16_t absent = 0;   // likewise: read, but there was no value

  void set(SimulatedMetric metric, std::int64_t value) {
    values[metric] = value;
    present = static_cast<std::uint16_t>(present | 1U << metric);
  }
  bool has(std::size_t metric) const { return (present >> metric & 1U) != 0; }
  bool lacks(std::size_t metric) const { return (absent >> metric & 1U) != 0; }
};

struct SimulatedGpu {
  // What does not change.
  GpuUuid uuid;
  std::uint32_t host = 0;
  std::uint32_t index_on_host = 0;
  // Who runs on it; `attribution_changes` counts up with each change.
  Attribution attribution;
  std::uint32_t attribution_changes = 0;

  SimulatedReadings readings;

  // The rest is the model's.
  Random random;
  std::int32_t job = -1;          // index into the jobs; -1: idle
  std::int64_t idle_until = 0;    // ms of simulated time
  std::int64_t absent_until = 0;  // likewise: fallen off the bus
  std::int64_t power = 0;         // microwatts
  std::int64_t temperature = 0;   // millionths of a degree
  std::int64_t idle_power = 0;    // milliwatts
  std::int64_t heat = 0;          // millionths of a degree for each milliwatt, once it is warm
  std::int64_t idle_memory = 0;   // MiB
  std::int64_t single_bit_errors = 0;
  std::int64_t double_bit_errors = 0;
  bool throttled = false;
};

class FleetModel {
 public:
  // `options` must be valid. The fleet is in the middle of its work: most GPUs have a job that has
  // been running for a while.
  explicit FleetModel(const SimulatorOptions& options);
  ~FleetModel();

  std::span<const SimulatedGpu> gpus() const { return gpus_; }
  std::string host_name(std::uint32_t host) const;

  // Moves the fleet on by `step` and takes everybody's readings.
  void advance(std::chrono::milliseconds step);

 private:
  struct Job;
  struct Host;
  struct Load;

  void make_host(std::uint32_t host, std::uint32_t gpu_count);
  void place_jobs(Host& host, bool at_start);
  void start_job(std::uint32_t first_gpu, std::uint32_t gpu_count, bool at_start);
  void end_job(Job& job);
  void advance_jobs();
  void strike();
  void strike_gpu(SimulatedGpu& gpu);
  Load load_of(SimulatedGpu& gpu);
  void advance_gpu(SimulatedGpu& gpu);
  void take_absences(SimulatedGpu& gpu);

  SimulatorOptions options_;
  Random random_;
  std::int64_t now_ = 0;   // ms of simulated time
  std::int64_t step_ = 0;  // ms
  std::int64_t next_strike_ = 0;
  std::uint32_t strikes_ = 0;
  std::uint32_t jobs_started_ = 0;
  std::vector<SimulatedGpu> gpus_;
  std::vector<Host> hosts_;
  std::vector<Job> jobs_;
  std::vector<std::int32_t> free_jobs_;
};

}  // namespace gpu_telemetry::sources
