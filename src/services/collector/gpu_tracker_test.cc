#include "services/collector/gpu_tracker.h"

#include <gtest/gtest.h>

namespace gpu_telemetry::services {
namespace {

using std::chrono::seconds;

constexpr Timestamp kStart = from_unix_milliseconds(1'752'871'354'000);

GpuPointer make_gpu(std::uint8_t number, std::string pod) {
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = GpuUuid(GpuUuid::Kind::kGpu, {number});
  gpu->attribution.pod = std::move(pod);
  return gpu;
}

std::vector<TelemetryBatch> one_scrape(const GpuPointer& gpu, Timestamp time) {
  std::vector<TelemetryBatch> batches(1);
  batches[0].gpus = {gpu};
  batches[0].metrics = {"m"};
  batches[0].samples = {{0, 1.0}};
  batches[0].scrapes = {{0, 0, 1, time}};
  return batches;
}

class GpuTrackerTest : public ::testing::Test {
 protected:
  // What is due after a scrape; storage then confirms it when `stored`.
  std::vector<storage::GpuObservation> scrape(const GpuPointer& gpu, Timestamp time,
                                              bool stored = true) {
    const auto due = tracker_.observe(one_scrape(gpu, time));
    if (stored) tracker_.recorded(due);
    return due;
  }

  ManualClock clock_{kStart};
  GpuTracker tracker_{clock_, seconds{10}};
  GpuPointer gpu_ = make_gpu(1, "a");
};

TEST_F(GpuTrackerTest, ANewGpuIsDueAtOnceAndAnUnchangedOneOnlyAfterTheRefresh) {
  ASSERT_EQ(scrape(gpu_, kStart).size(), 1u);
  EXPECT_TRUE(scrape(gpu_, kStart + seconds{1}).empty());
  clock_.advance(seconds{10});
  const auto due = scrape(gpu_, kStart + seconds{10});
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].from, kStart + seconds{1});
  EXPECT_EQ(due[0].to, kStart + seconds{10});
}

TEST_F(GpuTrackerTest, AChangeIsDueAtOnceWithTheLastSightingOfWhatWasBefore) {
  scrape(gpu_, kStart);
  scrape(gpu_, kStart + seconds{3});
  const auto due = scrape(make_gpu(1, "b"), kStart + seconds{4});
  ASSERT_EQ(due.size(), 2u);
  EXPECT_EQ(due[0].gpu->attribution.pod, "a");
  EXPECT_EQ(due[0].to, kStart + seconds{3});
  EXPECT_EQ(due[1].gpu->attribution.pod, "b");
  EXPECT_EQ(due[1].from, kStart + seconds{4});
}

TEST_F(GpuTrackerTest, WhatStorageDidNotConfirmStaysDue) {
  ASSERT_EQ(scrape(gpu_, kStart, false).size(), 1u);
  const auto due = scrape(gpu_, kStart + seconds{1}, false);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].from, kStart);
  EXPECT_EQ(due[0].to, kStart + seconds{1});
}

TEST_F(GpuTrackerTest, ScrapesThatComeAgainAreNoFurtherSightings) {
  for (int delivery = 0; delivery < 3; ++delivery) {
    scrape(gpu_, kStart, false);
    scrape(make_gpu(1, "b"), kStart + seconds{1}, false);
  }
  EXPECT_EQ(tracker_.pending().size(), 2u);
}

TEST_F(GpuTrackerTest, EqualAttributesInAnotherObjectAreNoChange) {
  scrape(gpu_, kStart);
  EXPECT_TRUE(scrape(make_gpu(1, "a"), kStart + seconds{1}).empty());
}

TEST_F(GpuTrackerTest, ALateScrapeIsASightingOfItsOwn) {
  scrape(gpu_, kStart + seconds{5});
  scrape(gpu_, kStart + seconds{6});
  const auto due = scrape(gpu_, kStart);
  ASSERT_EQ(due.size(), 2u);
  EXPECT_EQ(due[1].from, kStart);
  EXPECT_EQ(due[1].to, kStart);
}

TEST_F(GpuTrackerTest, EverythingNotWrittenIsPendingAtTheEnd) {
  scrape(gpu_, kStart);
  scrape(gpu_, kStart + seconds{2});
  ASSERT_EQ(tracker_.pending().size(), 1u);
  EXPECT_EQ(tracker_.pending()[0].to, kStart + seconds{2});
  tracker_.recorded(tracker_.pending());
  EXPECT_TRUE(tracker_.pending().empty());
}

}  // namespace
}  // namespace gpu_telemetry::services
