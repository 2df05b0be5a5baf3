#include "services/collector/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/pipeline_test_support.h"
#include "storage/batch_builder.h"

namespace gpu_telemetry::services {
namespace {

using storage::BatchBuilder;
using storage::numbered_gpu;
using ::testing::HasSubstr;
using testing::MapStorage;

constexpr Timestamp kStart = from_unix_milliseconds(1'752'871'354'000);

class AdmissionTest : public ::testing::Test {
 protected:
  // As a collector does it, or another one on the same storage.
  void store(const TelemetryBatch& batch) {
    for (const Scrape& scrape : batch.scrapes) {
      const storage::GpuObservation seen{batch.gpus[scrape.gpu], scrape.timestamp,
                                         scrape.timestamp};
      ASSERT_TRUE(storage_.observe({&seen, 1}));
    }
    const storage::BatchToWrite write{&batch, {}};
    ASSERT_TRUE(storage_.write({&write, 1}));
  }
  static TelemetryBatch scrape_of(std::uint32_t gpu, const std::string& metric) {
    return BatchBuilder().scrape(numbered_gpu(gpu), kStart, {{metric, 1}}).batch();
  }
  Admission with_limits(std::uint64_t gpus, std::uint64_t metrics) {
    return {AdmissionLimits{gpus, metrics}, storage_, storage_, clock_};
  }

  ManualClock clock_{kStart};
  MapStorage storage_;
};

TEST_F(AdmissionTest, AdmitsUpToTheLimitAndTakesOutTheRest) {
  Admission admission = with_limits(2, 2);
  TelemetryBatch batch = BatchBuilder()
                             .scrape(numbered_gpu(1), kStart, {{"a", 1}, {"b", 2}, {"c", 3}})
                             .scrape(numbered_gpu(2), kStart, {{"c", 4}})
                             .scrape(numbered_gpu(3), kStart, {{"a", 5}, {"b", 6}})
                             .scrape(numbered_gpu(2), kStart, {{"b", 7}, {"c", 8}})
                             .batch();
  const auto refused = admission.admit(batch);
  ASSERT_TRUE(refused && *refused);
  EXPECT_EQ((*refused)->samples, 5u);
  EXPECT_THAT((*refused)->reason, HasSubstr(numbered_gpu(3).to_string()));
  const TelemetryBatch rest = BatchBuilder()
                                  .scrape(numbered_gpu(1), kStart, {{"a", 1}, {"b", 2}})
                                  .scrape(numbered_gpu(2), kStart, {{"b", 7}})
                                  .batch();
  EXPECT_EQ(batch.metrics, rest.metrics);
  EXPECT_EQ(batch.samples, rest.samples);
  EXPECT_EQ(batch.scrapes, rest.scrapes);
  ASSERT_EQ(batch.gpus.size(), 2u);
  EXPECT_EQ(batch.gpus[1]->uuid, numbered_gpu(2));

  TelemetryBatch again = rest;
  EXPECT_FALSE(*admission.admit(again)) << "what was admitted stays so";
  EXPECT_EQ(again.samples, rest.samples);
}

TEST_F(AdmissionTest, NamesTheMetricThatIsTooMany) {
  Admission admission = with_limits(10, 1);
  TelemetryBatch first = scrape_of(1, "a");
  ASSERT_FALSE(*admission.admit(first));
  TelemetryBatch second = scrape_of(1, "made_up");
  const auto refused = admission.admit(second);
  ASSERT_TRUE(refused && *refused);
  EXPECT_THAT((*refused)->reason, HasSubstr("metric made_up would pass MAX_METRICS=1"));
  EXPECT_TRUE(second.empty());
}

TEST_F(AdmissionTest, WhatIsStoredIsAdmittedAlsoPastALimitThatWasLowered) {
  for (std::uint32_t gpu = 1; gpu <= 3; ++gpu) store(scrape_of(gpu, "m" + std::to_string(gpu)));
  Admission admission = with_limits(1, 1);
  TelemetryBatch known = scrape_of(3, "m2");
  EXPECT_FALSE(*admission.admit(known));
  TelemetryBatch unknown = scrape_of(4, "m2");
  EXPECT_TRUE(*admission.admit(unknown));
}

TEST_F(AdmissionTest, CountsAndKnowsWhatOtherCollectorsStore) {
  Admission admission = with_limits(2, 2);
  TelemetryBatch first = scrape_of(1, "a");
  ASSERT_FALSE(*admission.admit(first));
  store(first);
  store(scrape_of(2, "b"));  // by another collector
  TelemetryBatch theirs = scrape_of(2, "a");
  EXPECT_FALSE(*admission.admit(theirs));
  TelemetryBatch third = scrape_of(3, "a");
  EXPECT_TRUE(*admission.admit(third)) << "there are two already";
  clock_.advance(std::chrono::minutes{1});
  TelemetryBatch their_metric = scrape_of(1, "b");
  EXPECT_FALSE(*admission.admit(their_metric));
  TelemetryBatch third_metric = scrape_of(1, "c");
  EXPECT_TRUE(*admission.admit(third_metric));
}

TEST_F(AdmissionTest, RefusesNothingBecauseStorageDoesNotAnswer) {
  storage_.refuse(unavailable("storage is away"));
  Admission admission = with_limits(1, 1);
  TelemetryBatch batch = scrape_of(1, "a");
  const auto refused = admission.admit(batch);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(batch.samples.size(), 1u);
  storage_.refuse(std::nullopt);
  EXPECT_FALSE(*admission.admit(batch));
}

}  // namespace
}  // namespace gpu_telemetry::services
