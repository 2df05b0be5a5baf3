// What the MongoDB store does beside the contracts: its documents, and other people's failures.
#include "storage/mongodb/mongodb_store.h"

#include <gmock/gmock.h>

#include <thread>

#include "observability/metrics.h"
#include "storage/batch_builder.h"
#include "storage/mongodb/point_query.h"
#include "storage/mongodb/test_server.h"

namespace gpu_telemetry::storage::mongodb {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class MongodbStoreTest : public testing::Test {
 protected:
  MongodbStoreTest() {
    database_.options().clock = &clock_;
    // A real MongoDB has its own idea of the time, and removes what is past in it.
    database_.options().retention = std::chrono::days{36'500};
  }

  MongodbStore& store() { return database_.store(); }
  Result<void> try_write(const TelemetryBatch& batch) {
    const BatchToWrite to_write{&batch, {}};
    return store().write({&to_write, 1});
  }
  void write(const TelemetryBatch& batch) {
    const auto written = try_write(batch);
    ASSERT_TRUE(written) << written.error();
  }
  TelemetryBatch one_reading(Timestamp time, double value, const char* metric = "a") const {
    return BatchBuilder().scrape(gpu_, time, {{metric, value}}).batch();
  }
  std::string first_found(const std::string& collection) {
    return database_.run(R"({"find": ")" + collection + R"(", "sort": {"_id": 1}, "limit": 1})");
  }
  std::vector<StoredSample> all_samples(const SampleQuery& query) {
    std::vector<StoredSample> samples;
    const auto cursor = store().query(query);
    EXPECT_TRUE(cursor) << cursor.error();
    while (cursor) {
      const auto block = (*cursor)->next();
      EXPECT_TRUE(block) << block.error();
      if (!block || block->empty()) break;
      samples.insert(samples.end(), block->begin(), block->end());
    }
    return samples;
  }
  SampleQuery everything() const {
    SampleQuery query;
    query.gpu = gpu_;
    return query;
  }

  static constexpr Timestamp kNow = from_unix_milliseconds(1'752'871'354'000);  // 2025-07-18
  ManualClock clock_{kNow};
  TestDatabase database_;
  const GpuUuid gpu_ = numbered_gpu(1);
};

TEST_F(MongodbStoreTest, AScrapeIsOneReadableDocument) {
  database_.open();
  write(BatchBuilder().scrape(gpu_, kNow, {{"DCGM_FI_DEV_GPU_TEMP", 61}, {"b", 0.5}}).batch());
  const std::string uuid = gpu_.to_string();
  EXPECT_THAT(first_found("telemetry_points"),
              AllOf(HasSubstr(R"("_id" : ")" + uuid + R"(|1752871354000")"),
                    HasSubstr(R"("gpu_uuid" : ")" + uuid + '"'),
                    HasSubstr(R"("timestamp" : { "$date" : "2025-07-18T20:42:34Z" })"),
                    HasSubstr(R"("metrics" : { "DCGM_FI_DEV_GPU_TEMP" : 61.0, "b" : 0.5 })"),
                    HasSubstr(R"("expires_at" : { "$date" : "2125-06-24T20:42:34Z" })")));
  EXPECT_THAT(first_found("telemetry_metrics"),
              HasSubstr(R"("b" : { "first" : { "$date" : "2025-07-18T20:00:00Z" }, )"
                        R"("last" : { "$date" : "2025-07-18T20:00:00Z" } })"));
}

TEST_F(MongodbStoreTest, AReadingExpiresAfterTheLaterOfItsTimeAndItsFirstStoring) {
  database_.open();
  write(one_reading(kNow - std::chrono::days{100}, 1));
  EXPECT_THAT(first_found("telemetry_points"), HasSubstr("2125-06-24T20:42:34Z"));
  clock_.advance(std::chrono::hours{5});
  write(one_reading(kNow - std::chrono::days{100}, 2));
  EXPECT_THAT(first_found("telemetry_points"), HasSubstr("2125-06-24T20:42:34Z"));
  EXPECT_THAT(database_.run(R"({"listIndexes": "telemetry_points"})"),
              HasSubstr(R"("expireAfterSeconds" : 0)"));
}

TEST_F(MongodbStoreTest, WithoutARetentionNothingExpires) {
  database_.options().retention = std::chrono::milliseconds{0};
  database_.open();
  write(one_reading(kNow, 1));
  EXPECT_THAT(first_found("telemetry_points"), Not(HasSubstr("expires_at")));
}

TEST_F(MongodbStoreTest, WhatHasExpiredIsRemoved) {
  if (!TestServer::instance().is_real()) GTEST_SKIP() << "TTL deletion: " << TestServer::kStandIn;
  database_.options().retention = std::chrono::days{1};
  database_.open();
  write(one_reading(kNow, 1));  // in the server's eyes long expired
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{90};
  while (!all_samples(everything()).empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "MongoDB looks once a minute";
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
  }
  EXPECT_TRUE(store().latest(gpu_)->empty());
}

TEST_F(MongodbStoreTest, ARangeIsOneScanOfTheIndexOfId) {
  if (!TestServer::instance().is_real()) GTEST_SKIP() << "explain: " << TestServer::kStandIn;
  database_.open();
  BatchBuilder builder;
  for (int i = 0; i < 100; ++i) {
    builder.scrape(gpu_, kNow + std::chrono::seconds{i}, {{"a", 1}, {"b", 2}});
    builder.scrape(numbered_gpu(2), kNow + std::chrono::seconds{i}, {{"a", 1}});
  }
  write(builder.batch());
  for (const Order order : {Order::kNewestFirst, Order::kOldestFirst}) {
    SampleQuery query = everything();
    query.order = order;
    query.start = kNow + std::chrono::seconds{10};
    query.end = kNow + std::chrono::seconds{19};
    const std::vector<std::string> metrics{"a", "b"};
    const PointFind find = make_point_find(query, metrics, true);
    Document command;
    command.text("find", "telemetry_points").document("filter", find.filter);
    bson_concat(command.get(), find.options.get());
    const std::string plan =
        database_.run(R"({"explain": )" + command.json() + R"(, "verbosity": "executionStats"})");
    EXPECT_THAT(plan, HasSubstr(R"("stage" : "IXSCAN")"));
    EXPECT_THAT(plan, HasSubstr(R"("indexName" : "_id_")"));
    EXPECT_THAT(plan, HasSubstr(R"("totalDocsExamined" : 10)"));
    EXPECT_THAT(plan, Not(HasSubstr("COLLSCAN")));
    EXPECT_THAT(plan, Not(HasSubstr(R"("stage" : "SORT")")));
  }
}

TEST_F(MongodbStoreTest, EightWritersOfTheSameKeysLoseNothing) {
  constexpr int kWriters = 8;
  constexpr int kRounds = 20;
  constexpr int kTimes = 50;
  database_.open();
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (int round = 0; round < kRounds; ++round) {
        BatchBuilder builder;
        for (int i = 0; i < kTimes; ++i) {
          builder.scrape(gpu_, kNow + std::chrono::seconds{round * kTimes + i},
                         {{"of_all", i}, {"of_" + std::to_string(writer), writer}});
        }
        write(builder.batch());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const auto samples = all_samples(everything());
  EXPECT_EQ(samples.size(), static_cast<std::size_t>(kRounds * kTimes * (kWriters + 1)));
  EXPECT_THAT(database_.run(R"({"count": "telemetry_points"})"),
              HasSubstr(R"("n" : )" + std::to_string(kRounds * kTimes)));
}

TEST_F(MongodbStoreTest, LatestValuesAreFoundWhenTheHourThatWasNotedHasNone) {
  database_.open();
  const Timestamp old = kNow - std::chrono::days{2};
  write(one_reading(old, 1, "gone"));
  write(one_reading(kNow, 2, "gone"));
  write(one_reading(kNow, 3, "expired"));
  write(one_reading(kNow + std::chrono::hours{2}, 4, "a"));
  database_.run(R"({"delete": "telemetry_points", "deletes": [{"q": {"_id": {"$regex": )"
                R"("1752871354000$"}}, "limit": 0}]})");
  const auto latest = store().latest(gpu_);
  ASSERT_TRUE(latest) << latest.error();
  ASSERT_EQ(latest->size(), 2u);
  EXPECT_EQ((*latest)[0].metric, "a");
  EXPECT_EQ((*latest)[1].metric, "gone");
  EXPECT_EQ((*latest)[1].timestamp, old);
  const auto metrics = store().metrics_of(gpu_);
  ASSERT_TRUE(metrics) << metrics.error();
  ASSERT_EQ(metrics->size(), 2u);
  EXPECT_EQ((*metrics)[1].last, old);
}

TEST_F(MongodbStoreTest, ANameThatIsNoMetricIsNeitherAPathNorAnOperator) {
  database_.open();
  write(one_reading(kNow, 1));
  SampleQuery query = everything();
  for (const char* name : {"$where", "a.b", "", "a\"", "$a"}) {
    query.metrics = {name};
    EXPECT_TRUE(all_samples(query).empty());
    EXPECT_TRUE(store().aggregate({name, {gpu_}, kNow, kNow})->empty());
  }
}

TEST_F(MongodbStoreTest, AForeignValueIsNamedAfterWhatWasRight) {
  database_.open();
  write(one_reading(kNow, 1));
  database_.run(R"({"insert": "telemetry_points", "documents": [{"_id": ")" + gpu_.to_string() +
                R"(|1752871355000", "metrics": {"a": "hot"}}]})");
  SampleQuery query = everything();
  query.order = Order::kOldestFirst;
  const auto cursor = store().query(query);
  ASSERT_TRUE(cursor);
  const auto right = (*cursor)->next();
  ASSERT_TRUE(right) << right.error();
  EXPECT_EQ(right->size(), 1u);
  for (int i = 0; i < 2; ++i) {
    const auto wrong = (*cursor)->next();
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(wrong.error().message, HasSubstr("|1752871355000: metrics.a"));
  }
}

TEST_F(MongodbStoreTest, AScrapePastTheYear2286IsInvalid) {
  database_.open();
  const auto written = try_write(one_reading(from_unix_milliseconds(10'000'000'000'000), 1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kInvalid);
}

TEST_F(MongodbStoreTest, WritesAreCounted) {
  observability::Metrics metrics;
  database_.options().metrics = &metrics;
  database_.open();
  write(BatchBuilder().scrape(gpu_, kNow, {{"a", 1}, {"b", 2}}).batch());
  EXPECT_THAT(metrics.render(), HasSubstr("gpu_telemetry_store_samples_written_total 2"));
  EXPECT_THAT(metrics.render(), HasSubstr("gpu_telemetry_store_write_seconds_count 1"));
  database_.close();
}

TEST_F(MongodbStoreTest, WhenAllConnectionsAreInUseACallGivesUpAfterItsWait) {
  database_.options().max_connections = 1;
  database_.options().connection_wait = std::chrono::milliseconds{20};
  database_.open();
  write(BatchBuilder().scrape(gpu_, kNow, {{"a", 1}}).batch());
  {
    const auto cursor = store().query(everything());
    ASSERT_TRUE(cursor) << cursor.error();
    const auto health = store().check_health();
    ASSERT_FALSE(health);
    EXPECT_EQ(health.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(health.error().message, HasSubstr("maxPoolSize"));
  }
  EXPECT_TRUE(store().check_health());
}

TEST_F(MongodbStoreTest, AnotherUriServesCallsFromNowOnAndCursorsGoOn) {
  database_.open();
  write(one_reading(kNow, 1));
  const auto cursor = store().query(everything());
  ASSERT_TRUE(cursor);
  ASSERT_TRUE(store().replace_uri(TestServer::instance().uri()));
  EXPECT_EQ((*cursor)->next()->size(), 1u);
  EXPECT_EQ(all_samples(everything()).size(), 1u);
  const auto refused = store().replace_uri("mongodb://");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(store().check_health());
}

class MongodbServerKilled : public MongodbStoreTest {
 protected:
  void SetUp() override {
    if (!TestServer::instance().is_ours()) {
      GTEST_SKIP() << "killing the server: that of TEST_MONGODB_URI is not ours";
    }
    database_.options().server_selection_timeout = std::chrono::milliseconds{300};
  }
};

TEST_F(MongodbServerKilled, WhileTheServerIsDeadCallsAreUnavailableAndAfterwardsTheyWork) {
  database_.open();
  BatchBuilder many;
  for (int i = 0; i < 5000; ++i) many.scrape(gpu_, kNow + Milliseconds{i}, {{"a", i}, {"b", i}});
  write(many.batch());
  const auto cursor = store().query(everything());
  ASSERT_TRUE(cursor);
  ASSERT_TRUE((*cursor)->next());

  TestServer::instance().kill();
  auto block = (*cursor)->next();
  while (block && !block->empty()) block = (*cursor)->next();
  ASSERT_FALSE(block);
  EXPECT_EQ(block.error().code, ErrorCode::kUnavailable);
  const TelemetryBatch batch = one_reading(kNow, 7);
  const std::vector<Error> errors{try_write(batch).error(), store().check_health().error(),
                                  store().query(everything()).error(), store().latest(gpu_).error(),
                                  store().find(gpu_).error()};
  for (const Error& error : errors) {
    EXPECT_EQ(error.code, ErrorCode::kUnavailable) << error;
    EXPECT_THAT(error.message, HasSubstr("MongoDB 127.0.0.1:"));
  }

  TestServer::instance().start();
  // The first call may still meet a dead connection of the pool.
  auto written = try_write(batch);
  for (int i = 0; i < 50 && !written; ++i) written = try_write(batch);
  ASSERT_TRUE(written) << written.error();
  EXPECT_TRUE(store().check_health());
  // What the store knew of the old server does not hide what the new one has.
  EXPECT_FALSE(all_samples(everything()).empty());
}

TEST_F(MongodbServerKilled, WritersThatRepeatGetThroughAServersDeath) {
  database_.open();
  constexpr int kWriters = 8;
  std::atomic<int> done{0};
  std::atomic<int> failures{0};
  std::atomic<bool> is_back{false};
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 20 || !is_back; ++i) {
        const auto batch = one_reading(kNow + std::chrono::seconds{i}, writer);
        while (!try_write(batch)) ++failures;
        ++done;
      }
    });
  }
  while (done < kWriters) std::this_thread::yield();
  TestServer::instance().kill();
  while (failures == 0) std::this_thread::yield();
  TestServer::instance().start();
  is_back = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_TRUE(store().check_health());
}

TEST(MongodbStoreOpening, AsksNoServerAndLaterErrorsNameNoPassword) {
  MongodbStoreOptions options;
  options.uri = "mongodb://reader:hunter%40two@127.0.0.1:1/?serverSelectionTimeoutMS=50";
  auto store = MongodbStore::open(options);
  ASSERT_TRUE(store) << store.error();
  const auto health = (*store)->check_health();
  ASSERT_FALSE(health);
  EXPECT_EQ(health.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(
      health.error().message,
      AllOf(HasSubstr("MongoDB 127.0.0.1:1, database gpu_telemetry"), Not(HasSubstr("hunter"))));
}

TEST(MongodbStoreOpening, AWrongUriIsInvalidAndItsPasswordStaysSecret) {
  for (const char* uri : {"", "localhost:27017", "mongodb://", "mongodb://u:hunter%two@host",
                          "mongodb://u:hunter/two@host:99999999",
                          "mongodb://u:hunter@host/?tls=perhaps&tlsInsecure=true&tlsCAFile"}) {
    MongodbStoreOptions options;
    options.uri = uri;
    const auto store = MongodbStore::open(options);
    ASSERT_FALSE(store) << uri;
    EXPECT_EQ(store.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(store.error().message,
                AllOf(HasSubstr("mongodb://[user:password@]host"), Not(HasSubstr("hunter"))));
  }
}

TEST(MongodbStoreOpening, ADatabasesNameIsChecked) {
  MongodbStoreOptions options;
  options.uri = "mongodb://127.0.0.1:1";
  for (const char* name : {"a b", "a/b", "$a", "a.b",
                           "a23456789012345678901234567890123456789012345678901234567890123x"}) {
    options.database = name;
    const auto store = MongodbStore::open(options);
    ASSERT_FALSE(store) << name;
    EXPECT_EQ(store.error().code, ErrorCode::kInvalid);
  }
}

}  // namespace
}  // namespace gpu_telemetry::storage::mongodb
