// GPUs under several collectors at the same time, against a server.
#include <gmock/gmock.h>

#include <random>
#include <thread>

#include "storage/batch_builder.h"
#include "storage/mongodb/test_server.h"

namespace gpu_telemetry::storage::mongodb {
namespace {

using testing::HasSubstr;

constexpr Timestamp kStart = from_unix_milliseconds(1'752'871'354'000);

Timestamp at(int seconds) { return kStart + std::chrono::seconds{seconds}; }

// Who really used the GPU: another every 50 s, somebody thrice.
std::string pod_at(int seconds) { return "pod-" + std::to_string(seconds / 50 % 7); }

GpuObservation observation(std::uint32_t n, int from, int to) {
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = numbered_gpu(n);
  gpu->hostname = "node-1";
  gpu->attribution.pod = pod_at(from);
  return {gpu, at(from), at(to)};
}

TEST(MongodbGpus, CollectorsThatSeeTheSameGpusAtOnceEndWithWhatIsTrue) {
  constexpr int kCollectors = 8;
  constexpr int kGpus = 3;
  constexpr int kSeconds = 1000;
  TestDatabase database;
  database.open();
  std::vector<std::vector<bool>> seen(kGpus, std::vector<bool>(kSeconds));
  std::vector<std::thread> collectors;
  std::mt19937 random{4711};
  for (int collector = 0; collector < kCollectors; ++collector) {
    std::vector<std::vector<GpuObservation>> calls;
    for (int call = 0; call < 15; ++call) {
      std::vector<GpuObservation> observations;
      for (std::uint32_t n = 0; n < kGpus; ++n) {
        const int from = std::uniform_int_distribution<int>(0, kSeconds - 1)(random);
        const int last = from / 50 * 50 + 49;
        const int to = std::uniform_int_distribution<int>(from, last)(random);
        seen[n][static_cast<std::size_t>(from)] = true;
        seen[n][static_cast<std::size_t>(to)] = true;
        observations.push_back(observation(n, from, to));
      }
      calls.push_back(std::move(observations));
    }
    collectors.emplace_back([&database, calls = std::move(calls)] {
      for (const auto& observations : calls) {
        const auto observed = database.store().observe(observations);
        ASSERT_TRUE(observed) << observed.error();
      }
    });
  }
  for (std::thread& collector : collectors) collector.join();

  for (std::uint32_t n = 0; n < kGpus; ++n) {
    const auto intervals =
        database.store().attribution(numbered_gpu(n), Timestamp::min(), Timestamp::max());
    ASSERT_TRUE(intervals) << intervals.error();
    const AttributionTimeline timeline(*intervals);
    int first = -1;
    int last = -1;
    for (int second = 0; second < kSeconds; ++second) {
      if (!seen[n][static_cast<std::size_t>(second)]) continue;
      if (first < 0) first = second;
      last = second;
      const AttributionInterval* found = timeline.at(at(second));
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->who.pod, pod_at(second)) << second;
      EXPECT_GE(found->end, at(second));
    }
    for (std::size_t i = 1; i < intervals->size(); ++i) {
      EXPECT_LT((*intervals)[i - 1].end, (*intervals)[i].start);
      EXPECT_NE((*intervals)[i - 1].who, (*intervals)[i].who);
    }
    const auto record = database.store().find(numbered_gpu(n));
    ASSERT_TRUE(record) << record.error();
    EXPECT_EQ(record->first_seen, at(first));
    EXPECT_EQ(record->last_seen, at(last));
    EXPECT_EQ(record->gpu.attribution.pod, pod_at(last));
  }
}

TEST(MongodbGpus, AGpuIsOneReadableDocument) {
  TestDatabase database;
  database.open();
  for (const int from : {0, 50}) {
    const auto seen = observation(1, from, from + 10);
    ASSERT_TRUE(database.store().observe({&seen, 1}));
  }
  const std::string found = database.run(R"({"find": "gpus"})");
  EXPECT_THAT(found, HasSubstr(R"("_id" : ")" + numbered_gpu(1).to_string() + '"'));
  EXPECT_THAT(found, HasSubstr(R"("version" : 2)"));
  EXPECT_THAT(found, HasSubstr(R"("hostname" : "node-1")"));
  EXPECT_THAT(found,
              HasSubstr(R"("attribution" : { "start" : { "$date" : "2025-07-18T20:43:24Z" }, )"
                        R"("end" : { "$date" : "2025-07-18T20:43:34Z" }, "container" : "", )"
                        R"("pod" : "pod-1", "namespace" : "" })"));
  EXPECT_THAT(found, HasSubstr(R"("earlier_attributions" : [ { "start" : )"));
}

TEST(MongodbGpus, TextThatIsNoUtf8IsMendedAndRepeatingItChangesNothing) {
  TestDatabase database;
  database.open();
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = numbered_gpu(1);
  gpu->hostname = "n\xC3\xB6rd\xFF";
  gpu->labels = {{"note", std::string("a\0b\xC3", 4)}};
  const GpuObservation seen{gpu, at(0), at(1)};
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(database.store().observe({&seen, 1}));
  const auto record = database.store().find(gpu->uuid);
  ASSERT_TRUE(record) << record.error();
  EXPECT_EQ(record->gpu.hostname, "n\xC3\xB6rd\xEF\xBF\xBD");
  EXPECT_EQ(record->gpu.labels[0].second, std::string("a\0b\xEF\xBF\xBD", 6));
  EXPECT_THAT(database.run(R"({"find": "gpus"})"), HasSubstr(R"("version" : 1)"));
}

TEST(MongodbGpus, AnObservationThatEndsBeforeItBeginsIsInvalid) {
  TestDatabase database;
  database.open();
  const auto seen = observation(1, 10, 5);
  const auto observed = database.store().observe({&seen, 1});
  ASSERT_FALSE(observed);
  EXPECT_EQ(observed.error().code, ErrorCode::kInvalid);
}

TEST(MongodbGpus, ADocumentThatIsNotOursIsNamed) {
  TestDatabase database;
  database.open();
  database.run(R"({"insert": "gpus", "documents": [{"_id": "a stranger"}]})");
  const auto page = database.store().list({}, std::nullopt, 0);
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(page.error().message, HasSubstr("gpus a stranger"));
}

}  // namespace
}  // namespace gpu_telemetry::storage::mongodb
