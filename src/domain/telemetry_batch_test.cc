#include "domain/telemetry_batch.h"

#include <gtest/gtest.h>

#include <memory>
#include <sstream>

#include "domain/result.h"

namespace gpu_telemetry {
namespace {

TEST(MetricName, FollowsThePrometheusDataModel) {
  for (const char* name : {"DCGM_FI_DEV_GPU_UTIL", "a", "_", ":", "job:rate5m", "A9"}) {
    EXPECT_TRUE(is_valid_metric_name(name)) << name;
  }
  for (const char* name : {"", "9a", "a-b", "a b", "a.b", "\xC3\xA4", "a\n"}) {
    EXPECT_FALSE(is_valid_metric_name(name)) << name;
  }
}

TEST(MetricName, IsAtMost200CharactersLong) {
  EXPECT_TRUE(is_valid_metric_name(std::string(200, 'a')));
  EXPECT_FALSE(is_valid_metric_name(std::string(201, 'a')));
}

TEST(TelemetryBatch, AnEmptiedBatchKeepsItsMemory) {
  TelemetryBatch batch;
  EXPECT_TRUE(batch.empty());
  batch.gpus.push_back(std::make_shared<Gpu>());
  batch.metrics.push_back("DCGM_FI_DEV_GPU_UTIL");
  batch.scrapes.push_back({0, 0, 1, kEarliestTimestamp});
  batch.samples.resize(100);
  EXPECT_FALSE(batch.empty());
  batch.clear();
  EXPECT_TRUE(batch.empty());
  EXPECT_TRUE(batch.gpus.empty() && batch.metrics.empty() && batch.scrapes.empty());
  EXPECT_GE(batch.samples.capacity(), 100U);
}

TEST(Error, IsPlacedAndPrinted) {
  const Error error = full("no room").at("queue 'telemetry'");
  EXPECT_EQ(error, (Error{ErrorCode::kFull, "queue 'telemetry': no room"}));
  std::ostringstream out;
  out << error;
  EXPECT_EQ(out.str(), "full: queue 'telemetry': no room");
}

TEST(Error, EveryCodeHasAMakerAndAName) {
  EXPECT_EQ(to_string(invalid("").code), "invalid");
  EXPECT_EQ(to_string(not_found("").code), "not found");
  EXPECT_EQ(to_string(conflict("").code), "conflict");
  EXPECT_EQ(to_string(full("").code), "full");
  EXPECT_EQ(to_string(unavailable("").code), "unavailable");
  EXPECT_EQ(to_string(corrupt("").code), "corrupt");
  EXPECT_EQ(to_string(cancelled("").code), "cancelled");
  EXPECT_EQ(to_string(internal("").code), "internal");
}

TEST(Result, ReadingTheValueOfAFailureThrows) {
  const Result<int> failed = invalid("no");
  EXPECT_FALSE(failed);
  EXPECT_THROW((void)failed.value(), BadResultAccess);
}

}  // namespace
}  // namespace gpu_telemetry
