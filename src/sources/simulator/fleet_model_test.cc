#include "sources/simulator/fleet_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

namespace gpu_telemetry::sources {
namespace {

using namespace std::chrono_literals;

SimulatorOptions fleet_of(std::uint32_t gpus, bool events = false) {
  SimulatorOptions options;
  options.gpus = gpus;
  options.events = events;
  return options;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sx += x[i];
    sy += y[i];
    sxx += x[i] * x[i];
    syy += y[i] * y[i];
    sxy += x[i] * y[i];
  }
  return (n * sxy - sx * sy) / std::sqrt((n * sxx - sx * sx) * (n * syy - sy * sy));
}

TEST(FleetModel, PowerAndTemperatureFollowUtilisation) {
  FleetModel fleet(fleet_of(64));
  std::vector<double> utilisation;
  std::vector<double> power;
  std::vector<double> temperature;
  for (int pass = 0; pass < 360; ++pass) {
    fleet.advance(10s);
    for (const SimulatedGpu& gpu : fleet.gpus()) {
      utilisation.push_back(static_cast<double>(gpu.readings.values[kGpuUtil]));
      power.push_back(static_cast<double>(gpu.readings.values[kPowerUsage]));
      temperature.push_back(static_cast<double>(gpu.readings.values[kGpuTemp]));
    }
  }
  EXPECT_GT(correlation(utilisation, power), 0.95);
  EXPECT_GT(correlation(power, temperature), 0.8);
  EXPECT_LT(correlation(utilisation, temperature), correlation(utilisation, power))
      << "the temperature has inertia";
}

TEST(FleetModel, UsedAndFreeMemoryAreTogetherConstant) {
  FleetModel fleet(fleet_of(64));
  for (int pass = 0; pass < 100; ++pass) {
    fleet.advance(10s);
    for (const SimulatedGpu& gpu : fleet.gpus()) {
      ASSERT_EQ(gpu.readings.values[kFbUsed] + gpu.readings.values[kFbFree], 81'007);
      ASSERT_GE(gpu.readings.values[kFbFree], 0);
    }
  }
}

TEST(FleetModel, IdleGpusAreCoolSlowAndEmpty) {
  FleetModel fleet(fleet_of(64));
  fleet.advance(0s);
  int idle = 0;
  for (const SimulatedGpu& gpu : fleet.gpus()) {
    if (gpu.job >= 0) continue;
    ++idle;
    EXPECT_EQ(gpu.readings.values[kGpuUtil], 0);
    EXPECT_LT(gpu.readings.values[kPowerUsage], 80'000);
    EXPECT_LT(gpu.readings.values[kGpuTemp], 40);
    EXPECT_LT(gpu.readings.values[kFbUsed], 10);
    EXPECT_EQ(gpu.readings.values[kSmClock], 345);
    EXPECT_EQ(gpu.attribution, Attribution{});
  }
  EXPECT_GT(idle, 0);
  EXPECT_LT(idle, 32);
}

TEST(FleetModel, JobsStartRampCheckpointAndEnd) {
  FleetModel fleet(fleet_of(64));
  std::map<std::string, std::vector<std::int64_t>> utilisation;  // of the first GPU of each pod
  fleet.advance(0s);
  for (int pass = 0; pass < 720; ++pass) {
    fleet.advance(5s);
    std::map<std::string, std::int64_t> first;
    for (const SimulatedGpu& gpu : fleet.gpus()) {
      if (gpu.job >= 0) first.emplace(gpu.attribution.pod, gpu.readings.values[kGpuUtil]);
    }
    for (const auto& [pod, value] : first) utilisation[pod].push_back(value);
  }
  int ramps = 0;
  int dips = 0;
  for (const auto& [pod, values] : utilisation) {
    if (pod.find("train") != 0 || values.size() < 60) continue;
    if (values.front() < 30 && values[30] > 85) ++ramps;
    bool busy = false;
    for (const std::int64_t value : values) {
      if (busy && value < 10) ++dips;
      busy = value > 85;
    }
  }
  EXPECT_GT(utilisation.size(), 60U);
  EXPECT_GT(ramps, 5);
  EXPECT_GT(dips, 50);
}

TEST(FleetModel, OverheatedGpusAreThrottledAndDrawLess) {
  FleetModel fleet(fleet_of(64, true));
  int throttled = 0;
  int freed = 0;
  for (int pass = 0; pass < 720; ++pass) {
    fleet.advance(10s);
    for (const SimulatedGpu& gpu : fleet.gpus()) {
      const SimulatedReadings& readings = gpu.readings;
      if (readings.has(kThrottleReasons)) {
        ++(readings.values[kThrottleReasons] != 0 ? throttled : freed);
      }
      if (gpu.throttled && gpu.job >= 0 && readings.has(kSmClock)) {
        ASSERT_EQ(readings.values[kSmClock], 1'200);
        ASSERT_GE(readings.values[kGpuTemp], 80);
      }
    }
  }
  EXPECT_GT(throttled, 0);
  EXPECT_GT(freed, 0);
}

TEST(FleetModel, GpusHaveTheirOwnUuidsAndPlaces) {
  SimulatorOptions options = fleet_of(10'000);
  options.hosts = 1'250;
  const FleetModel fleet(options);
  ASSERT_EQ(fleet.gpus().size(), 10'000U);
  std::map<GpuUuid, int> uuids;
  std::map<std::pair<std::uint32_t, std::uint32_t>, int> places;
  for (const SimulatedGpu& gpu : fleet.gpus()) {
    ++uuids[gpu.uuid];
    ++places[{gpu.host, gpu.index_on_host}];
    ASSERT_LT(gpu.index_on_host, 8U);
  }
  EXPECT_EQ(uuids.size(), 10'000U);
  EXPECT_EQ(places.size(), 10'000U);
  EXPECT_EQ(fleet.host_name(0), "node-001");
  EXPECT_EQ(fleet.host_name(1'249), "node-1250");
}

TEST(FleetModel, StepsOfAnyLengthKeepReadingsPossible) {
  for (const auto step : {1ms, 1000ms, 60'000ms, 86'400'000ms}) {
    FleetModel fleet(fleet_of(16, true));
    for (int pass = 0; pass < 50; ++pass) {
      fleet.advance(step);
      for (const SimulatedGpu& gpu : fleet.gpus()) {
        ASSERT_GE(gpu.readings.values[kGpuTemp], 20);
        ASSERT_LE(gpu.readings.values[kGpuTemp], 110);
        ASSERT_GT(gpu.readings.values[kPowerUsage], 50'000);
        ASSERT_LE(gpu.readings.values[kPowerUsage], 702'000);
        ASSERT_LE(gpu.readings.values[kGpuUtil], 100);
      }
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::sources
