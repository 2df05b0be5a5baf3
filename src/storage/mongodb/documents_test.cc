// What needs no server: secrets, BSON, the merging of scrapes, changes of GPUs.
#include <gmock/gmock.h>

#include "storage/batch_builder.h"
#include "storage/mongodb/gpu_change.h"
#include "storage/mongodb/point_id.h"
#include "storage/mongodb/point_query.h"
#include "storage/mongodb/point_writer.h"
#include "storage/mongodb/secrets.h"

namespace gpu_telemetry::storage::mongodb {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr Timestamp kTime = from_unix_milliseconds(1'752'871'354'000);

TEST(Secrets, WhatAUriHasOfThemIsMaskedEverywhere) {
  remember_secrets(
      "mongodb+srv://anna:p%3Aq%2Fr@host/db?tls=true&tlsCertificateKeyFilePassword=keypass"
      "&authMechanismProperties=AWS_SESSION_TOKEN:tok%2Ben");
  EXPECT_EQ(without_secrets("login p%3Aq%2Fr or p:q/r failed"), "login *** or *** failed");
  EXPECT_EQ(without_secrets("anna is unknown"), "anna is unknown");
  EXPECT_EQ(without_secrets("cannot open keypass"), "cannot open ***");
  EXPECT_EQ(without_secrets("AWS_SESSION_TOKEN:tok+en"), "***");
}

TEST(Secrets, AUriOfAnyClientLosesItsUser) {
  EXPECT_EQ(without_secrets("at mongodb://who:else@host:1/db and http://plain/x"),
            "at mongodb://***@host:1/db and http://plain/x");
}

TEST(Secrets, APasswordWithBareSeparatorsIsASecretToo) {
  remember_secrets("mongodb://bert:12@34/56@host");
  EXPECT_EQ(without_secrets("12@34/56"), "***");
}

TEST(Bson, TextIsMendedByteByByte) {
  EXPECT_EQ(valid_utf8("plain"), "plain");
  EXPECT_EQ(valid_utf8("\xE2\x82\xAC"), "\xE2\x82\xAC");
  EXPECT_EQ(valid_utf8("a\xFF\xC3\xB6"), "a\xEF\xBF\xBD\xC3\xB6");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(PointId, TextIsInTheOrderOfTime) {
  const GpuUuid gpu = numbered_gpu(7);
  const PointId first(gpu, kEarliestTimestamp);
  const PointId last(gpu, kLastPointTime);
  EXPECT_EQ(first.text(), gpu.to_string() + "|1000080000000");
  EXPECT_LT(first.text(), PointId(gpu, kTime).text());
  EXPECT_LT(PointId(gpu, kTime).text(), last.text());
  EXPECT_EQ(PointId(gpu, Timestamp::min()).text(), gpu.to_string() + "|0000000000000");
  EXPECT_EQ(PointId(gpu, Timestamp::max()).text(), last.text());
  EXPECT_EQ(PointId::time_of(PointId(gpu, kTime).text()), kTime);
  EXPECT_EQ(PointId::time_of("x"), std::nullopt);
  EXPECT_EQ(PointId::time_of(gpu.to_string() + "|17528713540x0"), std::nullopt);
}

std::string update_of(const PointBatch& points, std::size_t i) {
  Document selector;
  Document update;
  const auto filled = points.fill_upsert(i, kTime, std::chrono::days{1}, selector, update);
  EXPECT_TRUE(filled);
  return selector.json() + update.json();
}

TEST(PointBatch, ScrapesOfOneKeyMergeAcrossBatchesAndTheLaterValueWins) {
  const GpuUuid gpu = numbered_gpu(1);
  const auto first = BatchBuilder().scrape(gpu, kTime, {{"a", 1}, {"b", 2}}).batch();
  const auto second = BatchBuilder()
                          .scrape(numbered_gpu(0), kTime, {{"b", 9}})
                          .scrape(gpu, kTime, {{"c", 3}, {"a", 4}})
                          .scrape(gpu, kTime + Milliseconds{1}, {{"a", 5}, {"a", 6}})
                          .batch();
  const std::vector<BatchToWrite> batches{{&first, {}}, {&second, {}}};
  const PointBatch points(batches);
  ASSERT_EQ(points.points(), 3u);
  EXPECT_EQ(points.samples(), 5u);
  EXPECT_THAT(update_of(points, 0), HasSubstr(R"("$set" : { "metrics.b" : )"));
  EXPECT_THAT(update_of(points, 1),
              HasSubstr(R"("$set" : { "metrics.a" : { "$numberDouble" : "4.0" }, "metrics.b" : )"
                        R"({ "$numberDouble" : "2.0" }, "metrics.c" : )"));
  EXPECT_THAT(update_of(points, 2), HasSubstr(R"("metrics.a" : { "$numberDouble" : "6.0" } })"));

  const auto times = points.metric_times();
  ASSERT_EQ(times.size(), 2u);
  ASSERT_EQ(times[1].metrics.size(), 3u);
  EXPECT_EQ(points.names()[times[1].metrics[0].metric], "a");
  EXPECT_EQ(times[1].metrics[0].last, kTime + Milliseconds{1});
  EXPECT_EQ(times[1].metrics[1].last, kTime);
}

TEST(PointBatch, AScrapeLargerThanADocumentIsInvalid) {
  std::vector<std::pair<std::string, double>> readings;
  for (int i = 0; i < 100'000; ++i) {
    readings.emplace_back("m" + std::string(150, 'x') + std::to_string(i), i);
  }
  const auto batch = BatchBuilder().scrape(numbered_gpu(1), kTime, readings).batch();
  const BatchToWrite to_write{&batch, {}};
  const PointBatch points({&to_write, 1});
  Document selector;
  Document update;
  const auto filled = points.fill_upsert(0, kTime, std::chrono::days{1}, selector, update);
  ASSERT_FALSE(filled);
  EXPECT_EQ(filled.error().code, ErrorCode::kInvalid);
}

TEST(PointFind, APageAsksForNoMorePointsThanItCanNeed) {
  SampleQuery query;
  query.gpu = numbered_gpu(1);
  query.limit = 10;
  query.after = SampleKey{kTime, "b"};
  const std::vector<std::string> metrics{"a", "b"};
  const PointFind find = make_point_find(query, metrics, true);
  EXPECT_THAT(find.filter.json(),
              HasSubstr(R"("$lte" : ")" + query.gpu.to_string() + R"(|1752871354000")"));
  EXPECT_THAT(find.filter.json(), HasSubstr(R"("$or" : [ { "metrics.a" : { "$exists" : true } })"));
  EXPECT_THAT(find.options.json(), HasSubstr(R"("limit" : { "$numberLong" : "11" })"));
  EXPECT_THAT(make_point_find(query, metrics, false).filter.json(), Not(HasSubstr("$exists")));
}

TEST(ServerErrors, AreToldApart) {
  EXPECT_EQ(error_code_of(14031), ErrorCode::kFull);
  EXPECT_EQ(error_code_of(10334), ErrorCode::kInvalid);
  EXPECT_EQ(error_code_of(18), ErrorCode::kUnavailable);  // AuthenticationFailed
  EXPECT_EQ(error_code_of(91), ErrorCode::kUnavailable);  // ShutdownInProgress
}

Gpu gpu_of(const std::string& pod) {
  Gpu gpu;
  gpu.uuid = numbered_gpu(1);
  gpu.attribution.pod = pod;
  return gpu;
}

StoredGpu stored_gpu(bool has_earlier) {
  StoredGpu stored;
  stored.version = 4;
  stored.record = {gpu_of("now"), kTime, kTime + Milliseconds{100}};
  stored.newest = {kTime + Milliseconds{50}, kTime + Milliseconds{100}, {"", "now", ""}};
  if (has_earlier) stored.earlier = {{kTime, kTime + Milliseconds{40}, {"", "then", ""}}};
  stored.has_earlier = has_earlier;
  return stored;
}

TEST(GpuChange, GoingOnAndComingAfterNeedNoEarlierIntervals) {
  GpuChange change(stored_gpu(false));
  ASSERT_TRUE(change.apply(gpu_of("now"), kTime + Milliseconds{60}, kTime + Milliseconds{200}));
  EXPECT_THAT(change.update().json(), Not(HasSubstr("earlier_attributions")));
  EXPECT_THAT(change.selector().json(), HasSubstr(R"("version" : { "$numberLong" : "4" })"));
  EXPECT_THAT(change.update().json(), HasSubstr(R"("version" : { "$numberLong" : "5" })"));
  ASSERT_TRUE(change.apply(gpu_of("next"), kTime + Milliseconds{300}, kTime + Milliseconds{300}));
  EXPECT_THAT(change.update().json(), HasSubstr(R"("$push" : { "earlier_attributions")"));
}

TEST(GpuChange, WhatReachesBackNeedsThem) {
  GpuChange change(stored_gpu(false));
  EXPECT_FALSE(change.apply(gpu_of("then"), kTime + Milliseconds{70}, kTime + Milliseconds{80}));
  GpuChange whole(stored_gpu(true));
  EXPECT_TRUE(whole.apply(gpu_of("then"), kTime + Milliseconds{70}, kTime + Milliseconds{80}));
  EXPECT_THAT(whole.update().json(), Not(HasSubstr("$push")));
  EXPECT_THAT(whole.update().json(), HasSubstr("earlier_attributions"));
}

TEST(GpuChange, WhatIsKnownIsNoChange) {
  GpuChange change(stored_gpu(false));
  ASSERT_TRUE(change.apply(gpu_of("now"), kTime + Milliseconds{60}, kTime + Milliseconds{100}));
  EXPECT_FALSE(change.changed());
}

}  // namespace
}  // namespace gpu_telemetry::storage::mongodb
