// What the embedded store does beside the contracts: locks, damage, full disks, retention, upkeep.
#include "storage/embedded/embedded_store.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "observability/metrics.h"
#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

using testing::Contains;
using testing::HasSubstr;

class EmbeddedStoreTest : public testing::Test {
 protected:
  void write(std::int64_t time, double value, const char* metric = "a") {
    const auto written = simulated_.write(
        BatchBuilder().scrape(gpu_, from_unix_milliseconds(time), {{metric, value}}).batch());
    ASSERT_TRUE(written) << written.error();
  }
  void seal() {
    const auto sealed = simulated_.store().seal();
    ASSERT_TRUE(sealed) << sealed.error();
  }
  void maintain() {
    const auto maintained = simulated_.store().maintain();
    ASSERT_TRUE(maintained) << maintained.error();
  }
  std::vector<std::string> files(const std::string& folder = "/store/files") {
    const auto names = simulated_.disk().list(folder);
    return names ? *names : std::vector<std::string>();
  }
  std::vector<Row> rows() { return rows_of(simulated_.store(), gpu_); }

  static constexpr std::int64_t kStart = SimulatedStore::kStart;
  SimulatedStore simulated_;
  const GpuUuid gpu_ = numbered_gpu(1);
};

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

TEST_F(EmbeddedStoreTest, ADamagedFileIsSetAsideAndNamedAndTheRestIsRead) {
  simulated_.open();
  write(kStart, 1);
  seal();
  const std::string first = files().at(0);
  write(kStart + 10, 2);
  seal();
  simulated_.close();
  simulated_.disk().damage("/store/files/" + first, 1, 0xff);  // in the magic
  simulated_.open();
  EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr(first)));
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart + 10, "a", 2}}));
  EXPECT_THAT(files("/store/damaged"), Contains(first));
  simulated_.open();
  EXPECT_TRUE(simulated_.report().damage.empty());
}

TEST_F(EmbeddedStoreTest, DamageInAColumnIsNamedAndTheOtherColumnsAreRead) {
  simulated_.open();
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 300; ++i) {
    // Irregular, so that the values take room of their own in the file.
    builder.scrape(gpu_, from_unix_milliseconds(kStart + i * i),
                   {{"a", static_cast<double>(i * 7919 % 1009)}});
  }
  builder.scrape(numbered_gpu(2), from_unix_milliseconds(kStart), {{"a", 2.5}});
  ASSERT_TRUE(simulated_.write(builder.batch()));
  seal();
  simulated_.close();
  const std::string name = files().at(0);
  simulated_.disk().damage("/store/files/" + name, 100, 0xff);  // in the data
  simulated_.open();
  EXPECT_TRUE(simulated_.report().damage.empty());
  std::optional<Error> error;
  EXPECT_TRUE(rows_of(simulated_.store(), gpu_, &error).empty());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kCorrupt);
  EXPECT_THAT(error->message, HasSubstr(name));
  EXPECT_EQ(rows_of(simulated_.store(), numbered_gpu(2)), (std::vector<Row>{{kStart, "a", 2.5}}));

  // It is kept as it is, and not merged with what comes.
  write(kStart + 100'001, 3);
  seal();
  write(kStart + 100'002, 4);
  seal();
  simulated_.clock().advance(std::chrono::hours{3});
  maintain();
  EXPECT_THAT(files(), Contains(name));
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(EmbeddedStoreTest, AScrubFindsDamageThatNobodyReadAndNamesIt) {
  observability::Metrics metrics;
  simulated_.options().metrics = &metrics;
  simulated_.open();
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 300; ++i) {
    builder.scrape(gpu_, from_unix_milliseconds(kStart + i * i),
                   {{"a", static_cast<double>(i * 7919 % 1009)}});
  }
  builder.scrape(numbered_gpu(2), from_unix_milliseconds(kStart), {{"a", 2.5}});
  ASSERT_TRUE(simulated_.write(builder.batch()));
  seal();
  simulated_.close();
  const std::string name = files().at(0);
  simulated_.disk().damage("/store/files/" + name, 100, 0xff);
  simulated_.open();
  EXPECT_THAT(metrics.render(), Not(HasSubstr("gpu_telemetry_store_damage_total 1")));
  testing::internal::CaptureStderr();
  maintain();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(name));
  EXPECT_THAT(metrics.render(), HasSubstr("gpu_telemetry_store_damage_total 1"));
  EXPECT_EQ(rows_of(simulated_.store(), numbered_gpu(2)), (std::vector<Row>{{kStart, "a", 2.5}}));
  std::optional<Error> error;
  EXPECT_TRUE(rows_of(simulated_.store(), gpu_, &error).empty());
  EXPECT_TRUE(error);
  simulated_.close();
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

TEST_F(EmbeddedStoreTest, ADamagedMetricOfAGpuCostsItsNewestValuesNoOther) {
  simulated_.options().retention = std::chrono::hours{24};
  simulated_.open();
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 300; ++i) {
    builder.scrape(gpu_, from_unix_milliseconds(kStart + i * i),
                   {{"a", static_cast<double>(i * 7919 % 1009)}});
  }
  builder.scrape(gpu_, from_unix_milliseconds(kStart + 1), {{"b", 2}});
  ASSERT_TRUE(simulated_.write(builder.batch()));
  seal();
  simulated_.close();
  simulated_.disk().damage("/store/files/" + files().at(0), 100);
  // So that the first samples of `a` are no longer shown, and which is the first has to be read.
  simulated_.clock().advance(std::chrono::hours{24} + Milliseconds{2});
  simulated_.open();
  write(kStart + 86'400'000, 3, "b");
  const auto latest = simulated_.store().latest(gpu_);
  ASSERT_TRUE(latest) << latest.error();
  ASSERT_EQ(latest->size(), 1u);
  EXPECT_EQ(latest->front().metric, "b");
  EXPECT_EQ(latest->front().value, 3);
  const auto present = simulated_.store().metrics_of(gpu_);
  ASSERT_TRUE(present) << present.error();
  ASSERT_EQ(present->size(), 2u);
  EXPECT_EQ(present->front().metric, "a");
  EXPECT_EQ(present->front().first, from_unix_milliseconds(kStart + 2));  // not before it
  EXPECT_EQ(present->front().last, from_unix_milliseconds(kStart + 299 * 299));
}

TEST_F(EmbeddedStoreTest, ADamagedColumnCostsAFleetsAnswersOneCell) {
  simulated_.open();
  const GpuUuid other = numbered_gpu(2);
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 300; ++i) {
    // Irregular, so that they take room in the file.
    builder.scrape(gpu_, from_unix_milliseconds(kStart + i * i),
                   {{"a", static_cast<double>(i * 7919 % 1009)}});
  }
  for (std::int64_t i = 0; i < 3; ++i) {
    builder.scrape(other, from_unix_milliseconds(kStart + i * 1000), {{"a", 2}});
  }
  ASSERT_TRUE(simulated_.write(builder.batch()));
  seal();
  simulated_.close();
  simulated_.disk().damage("/store/files/" + files().at(0), 100);
  simulated_.open();
  const auto alone = simulated_.store().latest(gpu_);
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().message, HasSubstr(gpu_.to_string()));
  storage::LatestQuery query;
  query.metrics = {"a"};
  query.gpus = {{gpu_, Timestamp::min()}, {other, Timestamp::min()}};
  const auto latest = simulated_.store().latest_values(query);
  ASSERT_TRUE(latest) << latest.error();
  EXPECT_TRUE(std::isnan(latest->values[0]));
  EXPECT_EQ(latest->times[0], Timestamp::min());
  EXPECT_EQ(latest->values[1], 2);
  const std::vector<GpuUuid> both = {gpu_, other};
  const auto intervals = simulated_.store().scrape_intervals(both);
  ASSERT_TRUE(intervals) << intervals.error();
  EXPECT_EQ((*intervals)[0], Milliseconds{0});
  EXPECT_EQ((*intervals)[1], Milliseconds{1000});
}

TEST_F(EmbeddedStoreTest, ADamagedJournalRecordIsNamedAndTheOthersAreReplayed) {
  simulated_.open();
  for (std::int64_t i = 0; i < 3; ++i) write(kStart + i, static_cast<double>(i) + 0.3);
  simulated_.close();
  std::string segment;
  for (const std::string& name : files("/store/journal")) {
    const auto content =
        io::read_file(simulated_.disk(), "/store/journal/" + name, std::uint64_t{1} << 30);
    ASSERT_TRUE(content);
    // The value of the second sample stands in the encoding as it is.
    const double value = 1.3;
    const auto at = content->find(std::string(reinterpret_cast<const char*>(&value), sizeof value));
    if (at == std::string::npos) continue;
    simulated_.disk().damage("/store/journal/" + name, at, 0xff);
    segment = name;
  }
  ASSERT_FALSE(segment.empty());
  simulated_.open();
  ASSERT_EQ(simulated_.report().damage.size(), 1u);
  EXPECT_THAT(simulated_.report().damage.front(), HasSubstr(segment));
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 0.3}, {kStart + 2, "a", 2.3}}));
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
  // What of another metric lies in no order costs as much.
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
  EXPECT_FALSE(at_once());
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

TEST_F(EmbeddedStoreTest, AMissingFileIsNamed) {
  simulated_.open();
  write(kStart, 1);
  seal();
  simulated_.close();
  const std::string name = files().at(0);
  ASSERT_TRUE(simulated_.disk().remove("/store/files/" + name));
  simulated_.open();
  EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr(name)));
  EXPECT_TRUE(rows().empty());
}

TEST_F(EmbeddedStoreTest, ALostCatalogueIsMadeAnewFromTheFiles) {
  simulated_.open();
  write(kStart, 1);
  seal();
  write(kStart + 1, 2);
  simulated_.close();
  ASSERT_TRUE(simulated_.disk().remove("/store/catalogue.db"));
  ASSERT_TRUE(simulated_.disk().remove("/store/catalogue.db-copy"));
  (void)simulated_.disk().remove("/store/catalogue.db-wal");
  simulated_.open();
  EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr("catalogue")));
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 1}, {kStart + 1, "a", 2}}));
  const auto gpu = simulated_.store().find(gpu_);
  ASSERT_TRUE(gpu) << gpu.error();
  EXPECT_EQ(gpu->last_seen, from_unix_milliseconds(kStart + 1)) << "the journal knows of it";
}

TEST_F(EmbeddedStoreTest, ADamagedLogOfTheCatalogueIsNamedAndCostsNoSample) {
  const auto fill_and_crash = [&] {
    simulated_.open();
    write(kStart, 0);
    seal();
    // What stands in the log from here on stands in the journal too.
    for (int i = 1; i < 5; ++i) {
      write(kStart + i, i);
      auto gpu = std::make_shared<Gpu>();
      gpu->uuid = gpu_;
      gpu->attribution.pod = "pod-" + std::to_string(i);
      const Timestamp at = from_unix_milliseconds(kStart + i);
      const GpuObservation observation{std::move(gpu), at, at};
      ASSERT_TRUE(simulated_.store().observe({&observation, 1}));
    }
    simulated_.disk().cut();
    simulated_.close();
    simulated_.disk().reboot();
  };
  const std::string log = "/store/catalogue.db-wal";
  fill_and_crash();
  const auto file = simulated_.disk().open(log, io::OpenMode::kRead);
  ASSERT_TRUE(file) << file.error();
  const std::uint64_t size = *(*file)->size();
  const std::uint64_t frame = 24 + 4096;
  ASSERT_GT(size, 32 + 5 * frame);
  std::vector<Row> all;
  for (int i = 0; i < 5; ++i) all.emplace_back(kStart + i, "a", i);
  // In the header, in a frame's head, in pages; in the last transaction it is a torn end.
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{17}, std::uint64_t{25}, 32 + frame + 9,
        32 + 2 * frame + 500, size - frame - 100, size - 100}) {
    simulated_.~SimulatedStore();
    new (&simulated_) SimulatedStore;
    fill_and_crash();
    simulated_.disk().damage(log, offset, 0x10);
    simulated_.open();
    EXPECT_EQ(rows(), all) << "damaged at " << offset;
    if (offset >= size - 2 * frame) continue;
    EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr(log))) << offset;
    const auto gpu = simulated_.store().find(gpu_);
    ASSERT_TRUE(gpu) << gpu.error();
    EXPECT_EQ(gpu->last_seen, from_unix_milliseconds(kStart + 4));
  }
}

TEST_F(EmbeddedStoreTest, ADamagedCatalogueIsSetAsideAndMadeAnew) {
  simulated_.open();
  write(kStart, 1);
  seal();
  simulated_.close();
  for (const char* path : {"/store/catalogue.db", "/store/catalogue.db-copy"}) {
    for (std::uint64_t i = 0; i < 100; ++i) simulated_.disk().damage(path, i, 0xff);
  }
  simulated_.open();
  EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr("catalogue")));
  EXPECT_THAT(files("/store/damaged"), Contains("catalogue.db"));
  EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 1}}));
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

TEST_F(EmbeddedStoreTest, CheckingNamesAllDamageAndMendsNothing) {
  simulated_.open();
  write(kStart, 1);
  seal();
  write(kStart + 1, 2);
  simulated_.close();
  EmbeddedStoreOptions options = simulated_.options();
  const std::uint64_t operations = simulated_.disk().operations();
  auto report = check_store(options);
  ASSERT_TRUE(report) << report.error();
  EXPECT_TRUE(report->damage.empty()) << report->damage.front();
  EXPECT_EQ(report->files, 1u);
  EXPECT_EQ(report->samples, 2u);
  EXPECT_EQ(report->journal_records, 1u);

  const std::string name = files().at(0);
  simulated_.disk().damage("/store/files/" + name, 1, 0xff);
  report = check_store(options);
  ASSERT_TRUE(report) << report.error();
  EXPECT_THAT(report->damage, Contains(HasSubstr(name)));
  EXPECT_EQ(simulated_.disk().operations(), operations);

  options.path = "/elsewhere";
  EXPECT_EQ(check_store(options).error().code, ErrorCode::kNotFound);
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
