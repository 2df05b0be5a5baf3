// What the embedded store does beside the contracts: locks, full disks, retention, upkeep.
#include "storage/embedded/embedded_store.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "observability/metrics.h"
#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

using testing::HasSubstr;

TEST_F(EmbeddedStoreTest, ASecondOpenerIsTurnedAwayAndToldWhy) {
  simulated_.open();
  const auto second = EmbeddedStore::open(simulated_.options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_THAT(second.error().message, HasSubstr("another process"));
  const auto checked = check_store(simulated_.options());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kConflict);
}

TEST_F(EmbeddedStoreTest, AFullHeadBecomesFilesWithoutBeingAsked) {
  simulated_.options().head_size = 16_KiB;
  simulated_.open();
  for (std::int64_t i = 0; i < 3000; ++i) write(kStart + i, static_cast<double>(i));
  EXPECT_GT(simulated_.store().statistics().files, 1u);
  EXPECT_LT(simulated_.store().statistics().head_bytes, 36u << 10);
  EXPECT_EQ(rows().size(), 3000u);
}

TEST_F(EmbeddedStoreTest, FilesOfAPartitionAreMergedWhenItIsOver) {
  simulated_.open();
  for (std::int64_t i = 0; i < 3; ++i) {
    write(kStart + i, static_cast<double>(i));
    seal();
  }
  EXPECT_EQ(files().size(), 3u);
  maintain();
  EXPECT_EQ(files().size(), 3u);  // it still receives samples
  simulated_.clock().advance(std::chrono::hours{3});
  maintain();
  EXPECT_EQ(files().size(), 1u);
  EXPECT_EQ(rows(),
            (std::vector<Row>{{kStart, "a", 0}, {kStart + 1, "a", 1}, {kStart + 2, "a", 2}}));
}

TEST_F(EmbeddedStoreTest, ACursorReadsOnFromFilesThatWereMergedAway) {
  simulated_.open();
  for (std::int64_t i = 0; i < 2; ++i) {
    write(kStart + i, static_cast<double>(i));
    seal();
  }
  SampleQuery query;
  query.gpu = gpu_;
  auto cursor = simulated_.store().query(query);
  ASSERT_TRUE(cursor);
  write(kStart + 2, 2);
  simulated_.clock().advance(std::chrono::hours{3});
  maintain();
  EXPECT_EQ(files().size(), 1u);
  std::size_t samples = 0;
  while (true) {
    const auto block = (*cursor)->next();
    ASSERT_TRUE(block) << block.error();
    if (block->empty()) break;
    samples += block->size();
  }
  EXPECT_EQ(samples, 2u);
}

TEST_F(EmbeddedStoreTest, WhatIsOlderThanTheRetentionIsNeitherShownNorKept) {
  simulated_.options().retention = std::chrono::hours{24};
  simulated_.open();
  write(kStart, 1);
  seal();
  simulated_.clock().advance(std::chrono::hours{12});
  write(kStart + 12 * 3'600'000, 2);
  simulated_.clock().advance(std::chrono::hours{13});
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart + 12 * 3'600'000, "a", 2}}));
  EXPECT_EQ(files().size(), 1u);
  maintain();
  EXPECT_TRUE(files().empty());
  simulated_.clock().advance(std::chrono::hours{13});
  EXPECT_TRUE(rows().empty());  // in memory still, but over
  EXPECT_TRUE(simulated_.store().metrics_of(gpu_)->empty());
  EXPECT_TRUE(simulated_.store().latest(gpu_)->empty());
  seal();
  EXPECT_TRUE(files().empty());
  EXPECT_EQ(simulated_.store().statistics().head_samples, 0u);
}

TEST_F(EmbeddedStoreTest, ABackfillOfOldSamplesIsKeptForItsOwnRetention) {
  simulated_.options().retention = std::chrono::hours{24};
  simulated_.open();
  const std::int64_t old = kStart - 100 * std::int64_t{86'400'000};
  write(old, 1);
  EXPECT_EQ(rows(), (std::vector<Row>{{old, "a", 1}}));
  seal();
  maintain();
  EXPECT_EQ(rows(), (std::vector<Row>{{old, "a", 1}}));
  simulated_.open();
  EXPECT_EQ(rows(), (std::vector<Row>{{old, "a", 1}}));
  simulated_.clock().advance(std::chrono::hours{25});
  maintain();
  EXPECT_TRUE(rows().empty());
  EXPECT_TRUE(files().empty());
}

TEST_F(EmbeddedStoreTest, TimesThatAreStrewnMakeFewFiles) {
  simulated_.options().retention = std::chrono::milliseconds{0};
  simulated_.open();
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 500; ++i) {
    builder.scrape(gpu_, from_unix_milliseconds(kStart - i * 40'000'000),
                   {{"a", static_cast<double>(i)}});
  }
  ASSERT_TRUE(simulated_.write(builder.batch()));
  seal();
  EXPECT_LE(files().size(), 64u);
  EXPECT_EQ(rows().size(), 500u);
}

TEST_F(EmbeddedStoreTest, AFullDiskRefusesWritesAndServesReadsAndRecovers) {
  simulated_.options().head_size = 16_KiB;
  simulated_.open();
  write(kStart, 1);
  simulated_.disk().set_free_space(0);
  std::optional<Error> refused;
  std::int64_t written = 0;
  for (std::int64_t i = 1; i < 5000 && !refused; ++i) {
    const auto result = simulated_.write(
        BatchBuilder().scrape(gpu_, from_unix_milliseconds(kStart + i), {{"a", 1}}).batch());
    if (result) {
      ++written;
    } else {
      refused = result.error();
    }
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::kFull) << *refused;
  EXPECT_EQ(simulated_.store().check_health().error().code, ErrorCode::kFull);
  EXPECT_EQ(rows().size(), static_cast<std::size_t>(written + 1));
  simulated_.disk().set_free_space(std::uint64_t{1} << 30);
  for (std::int64_t i = 5000; i < 6000; ++i) write(kStart + i, 2);
  EXPECT_TRUE(simulated_.store().check_health());
  EXPECT_EQ(rows().size(), static_cast<std::size_t>(written + 1 + 1000));
  simulated_.open();
  EXPECT_EQ(rows().size(), static_cast<std::size_t>(written + 1 + 1000));
}

TEST_F(EmbeddedStoreTest, AFailedSyncRefusesWritesUntilOpenedAgainAndReadsGoOn) {
  simulated_.open();
  write(kStart, 1);
  EXPECT_TRUE(simulated_.store().check_health());
  simulated_.disk().fail_sync(1);
  const auto batch = [](std::int64_t time) {
    return BatchBuilder().scrape(numbered_gpu(1), from_unix_milliseconds(time), {{"a", 2}}).batch();
  };
  testing::internal::CaptureStderr();
  EXPECT_FALSE(simulated_.write(batch(kStart + 1)));
  EXPECT_FALSE(simulated_.write(batch(kStart + 2)));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("refuses to be written"));
  EXPECT_FALSE(simulated_.store().check_health());
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 1}}));
  simulated_.close();
  simulated_.open();
  EXPECT_TRUE(simulated_.store().check_health());
  write(kStart + 3, 3);
}

TEST_F(EmbeddedStoreTest, WhoAsksForAGpuDoesNotWaitForTheDiskThatGpusAreWrittenTo) {
  simulated_.open();
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = gpu_;
  const auto observe = [&](std::int64_t time) {
    const Timestamp at = from_unix_milliseconds(time);
    const GpuObservation observation{gpu, at, at};
    ASSERT_TRUE(simulated_.store().observe({&observation, 1}));
  };
  observe(kStart);
  int asked = 0;
  simulated_.disk().on_sync([&] {
    std::jthread([&] {
      ASSERT_TRUE(simulated_.store().finds_at_once());
      const auto found = simulated_.store().find(gpu_);
      ASSERT_TRUE(found) << found.error();
      // What is not durable yet is not shown.
      EXPECT_EQ(found->last_seen, from_unix_milliseconds(kStart));
      ++asked;
    });
  });
  gpu->hostname = "moved";
  observe(kStart + 1000);
  EXPECT_GT(asked, 0);
  simulated_.disk().on_sync({});
  EXPECT_EQ(simulated_.store().find(gpu_)->last_seen, from_unix_milliseconds(kStart + 1000));
}

TEST_F(EmbeddedStoreTest, ShortAnswersFromMemoryAreGivenAtOnceAndNoOthers) {
  simulated_.options().head_size = 16_MiB;
  simulated_.open();
  for (int i = 0; i < 100; ++i) write(kStart + i, i);
  SampleQuery query;
  query.gpu = gpu_;
  const auto at_once = [&] { return simulated_.store().query_at_once(query) != nullptr; };
  EXPECT_TRUE(at_once());
  seal();
  EXPECT_FALSE(at_once());  // a file may have to be read
  query.start = from_unix_milliseconds(kStart + 100);
  EXPECT_TRUE(at_once());
  BatchBuilder builder;
  for (std::uint64_t i = 0; i < 2 * kShortAnswer; ++i) {
    builder.scrape(gpu_, from_unix_milliseconds(kStart + 100 + static_cast<std::int64_t>(i)),
                   {{"a", 1}});
  }
  ASSERT_TRUE(simulated_.write(builder.batch()));
  EXPECT_FALSE(at_once());  // much to read
  query.metrics = {"b"};
  EXPECT_TRUE(at_once());
  query.metrics = {"a", "b"};
  query.end = query.start + Milliseconds{kShortAnswer / 2};
  EXPECT_TRUE(at_once());
  query.gpu = numbered_gpu(2);
  query.end = Timestamp::max();
  EXPECT_TRUE(at_once());
}

TEST_F(EmbeddedStoreTest, HowMuchThereIsToReadIsCountedAndNotGuessed) {
  simulated_.options().head_size = 16_MiB;
  simulated_.open();
  // One sample long before all others, so that they are anything but evenly spread.
  BatchBuilder strewn;
  strewn.scrape(gpu_, kEarliestTimestamp, {{"a", 1}});
  for (std::uint64_t i = 0; i < 2 * kShortAnswer; ++i) {
    strewn.scrape(gpu_, from_unix_milliseconds(kStart + static_cast<std::int64_t>(i)), {{"a", 1}});
  }
  ASSERT_TRUE(simulated_.write(strewn.batch()));
  SampleQuery query;
  query.gpu = gpu_;
  query.start = from_unix_milliseconds(kStart);
  const auto at_once = [&] { return simulated_.store().query_at_once(query) != nullptr; };
  query.end = query.start + Milliseconds{kShortAnswer - 1};
  EXPECT_TRUE(at_once());
  query.end = query.start + Milliseconds{kShortAnswer};
  EXPECT_FALSE(at_once());
  // What came in no order counts where it lies, and little for questions for anything else.
  BatchBuilder backwards;
  const GpuUuid other = numbered_gpu(2);
  for (std::uint64_t i = 0; i < 2 * kShortAnswer; ++i) {
    backwards.scrape(other, from_unix_milliseconds(kStart - static_cast<std::int64_t>(i)),
                     {{"b", 1}});
  }
  backwards.scrape(other, from_unix_milliseconds(kStart), {{"a", 1}});
  ASSERT_TRUE(simulated_.write(backwards.batch()));
  query.gpu = other;
  query.metrics = {"a"};
  EXPECT_TRUE(at_once());
  query.metrics = {"b"};
  query.start = from_unix_milliseconds(kStart - std::int64_t{2 * kShortAnswer});
  EXPECT_FALSE(at_once());
  query.end = query.start + Milliseconds{kShortAnswer / 4};
  EXPECT_TRUE(at_once());
}

TEST_F(EmbeddedStoreTest, AttributionIsForgottenWithTheSamplesItBelongsTo) {
  simulated_.options().retention = std::chrono::hours{24};
  simulated_.open();
  const auto observe = [&](const std::string& pod, std::int64_t time) {
    auto gpu = std::make_shared<Gpu>();
    gpu->uuid = gpu_;
    gpu->attribution.pod = pod;
    const Timestamp at = from_unix_milliseconds(time);
    const GpuObservation observation{gpu, at, at};
    ASSERT_TRUE(simulated_.store().observe({&observation, 1}));
  };
  observe("first", kStart);
  observe("second", kStart + 1000);
  write(kStart, 1);
  seal();
  const auto intervals = [&] {
    return simulated_.store().attribution(gpu_, Timestamp::min(), Timestamp::max())->size();
  };
  maintain();
  EXPECT_EQ(intervals(), 2u);
  simulated_.clock().advance(std::chrono::hours{25});
  maintain();
  EXPECT_EQ(intervals(), 1u);  // the newest stays
}

TEST_F(EmbeddedStoreTest, MetricsTellWhatTheStoreHolds) {
  observability::Metrics metrics;
  simulated_.options().metrics = &metrics;
  simulated_.open();
  write(kStart, 1);
  seal();
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("gpu_telemetry_store_files 1"));
  EXPECT_THAT(text, HasSubstr("gpu_telemetry_store_samples_written_total 1"));
  EXPECT_THAT(text, HasSubstr("gpu_telemetry_store_write_seconds_count 1"));
  simulated_.close();
}

TEST_F(EmbeddedStoreTest, LeftoversOfAnInterruptedStepAreRemoved) {
  simulated_.open();
  write(kStart, 1);
  seal();
  simulated_.close();
  const std::string name = files().at(0);
  ASSERT_TRUE(simulated_.disk().open("/store/files/" + name + ".tmp", io::OpenMode::kCreate));
  simulated_.open();
  EXPECT_TRUE(simulated_.report().damage.empty());
  EXPECT_EQ(files(), std::vector<std::string>{name});
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 1}}));
}

TEST_F(EmbeddedStoreTest, ABatchLargerThanARecordIsJournalledInParts) {
  simulated_.open();
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 20'000; ++i) {
    builder.scrape(gpu_, from_unix_milliseconds(kStart + i), {{"a", static_cast<double>(i)}});
  }
  const auto written = simulated_.write(builder.batch());
  ASSERT_TRUE(written) << written.error();
  simulated_.open();
  EXPECT_GT(simulated_.report().journal_batches, 1u);
  EXPECT_EQ(rows().size(), 20'000u);
}

TEST(EmbeddedStoreThreads, WritersReadersSealingAndMergingGetAlong) {
  TemporaryFolder folder;
  EmbeddedStoreOptions options;
  options.path = folder.path() + "/store";
  options.codec = &plain_codec();
  options.head_size = 64_KiB;
  options.maintenance_interval = std::chrono::milliseconds{5};
  auto opened = EmbeddedStore::open(options);
  ASSERT_TRUE(opened) << opened.error();
  EmbeddedStore& store = **opened;
  const std::int64_t start = unix_milliseconds(system_clock().now()) - 3'600'000;
  constexpr std::int64_t kBatches = 60;
  constexpr std::int64_t kScrapes = 40;
  std::atomic<int> writing{3};
  std::vector<std::thread> threads;
  for (std::uint32_t writer = 0; writer < 3; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::int64_t b = 0; b < kBatches; ++b) {
        BatchBuilder builder;
        for (std::int64_t i = 0; i < kScrapes; ++i) {
          const Timestamp time = from_unix_milliseconds(start + (b * kScrapes + i) * 10);
          builder.scrape(numbered_gpu(writer), time, {{"a", static_cast<double>(b)}, {"b", 1}});
        }
        const BatchToWrite to_write{&builder.batch(), {}};
        EXPECT_TRUE(store.write({&to_write, 1}));
      }
      --writing;
    });
  }
  threads.emplace_back([&] {
    std::size_t before = 0;
    while (writing > 0) {
      const auto rows = rows_of(store, numbered_gpu(0));
      EXPECT_GE(rows.size(), before);
      before = rows.size();
      EXPECT_TRUE(store.latest(numbered_gpu(1)));
      AggregateQuery query{"a",
                           {numbered_gpu(0), numbered_gpu(2)},
                           from_unix_milliseconds(start),
                           from_unix_milliseconds(start + 3'600'000)};
      EXPECT_TRUE(store.aggregate(query));
      (void)store.statistics();
    }
  });
  for (auto& thread : threads) thread.join();
  for (std::uint32_t writer = 0; writer < 3; ++writer) {
    EXPECT_EQ(rows_of(store, numbered_gpu(writer)).size(),
              static_cast<std::size_t>(kBatches * kScrapes * 2));
  }
}

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
