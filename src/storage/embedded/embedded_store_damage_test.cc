// What damage on the disk costs the embedded store: it is named, and nothing else suffers.
#include "storage/embedded/embedded_store.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "io/bytes.h"
#include "observability/metrics.h"
#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

using testing::Contains;
using testing::HasSubstr;

// Of a file with one column: of the header, the index, the last footer and the one before.
std::vector<std::size_t> restorable_bytes(const std::string& file) {
  const auto index = io::load_fixed<std::uint64_t>(file.data() + file.size() - 88);
  return {9, index, index + 20, file.size() - 170, file.size() - 20};
}

TEST_F(EmbeddedStoreTest, ADamagedFileIsSetAsideAndNamedAndTheRestIsRead) {
  simulated_.open();
  write(kStart, 1);
  seal();
  const std::string first = files().at(0);
  write(kStart + 10, 2);
  seal();
  simulated_.close();
  damage_footers(first);
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

// A bit in each of the parts that can be restored.
TEST_F(EmbeddedStoreTest, WhatLeadsToTheColumnsOfAFileIsMendedWhenItIsOpened) {
  simulated_.open();
  write(kStart, 1);
  seal();
  simulated_.close();
  const std::string path = "/store/files/" + files().at(0);
  const std::string whole = *io::read_file(simulated_.disk(), path, 1 << 20);
  for (const std::size_t at : restorable_bytes(whole)) {
    simulated_.disk().damage(path, at);
    const auto checked = check_store(simulated_.options());
    ASSERT_TRUE(checked) << checked.error();
    EXPECT_THAT(checked->damage, Contains(HasSubstr(path))) << at;
    simulated_.open();
    EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr(path))) << at;
    EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 1}}));
    simulated_.close();
    EXPECT_EQ(*io::read_file(simulated_.disk(), path, 1 << 20), whole) << at;
  }
}

TEST_F(EmbeddedStoreTest, AScrubMendsWhatLeadsToTheColumnsOfAFile) {
  observability::Metrics metrics;
  simulated_.options().metrics = &metrics;
  simulated_.open();
  write(kStart, 1);
  seal();
  const std::string path = "/store/files/" + files().at(0);
  const std::string whole = *io::read_file(simulated_.disk(), path, 1 << 20);
  simulated_.close();
  simulated_.disk().damage(path, whole.size() - 200);  // in the parity
  simulated_.open();
  EXPECT_TRUE(simulated_.report().damage.empty());
  testing::internal::CaptureStderr();
  maintain();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(path));
  EXPECT_THAT(metrics.render(), HasSubstr("gpu_telemetry_store_damage_total 1"));
  EXPECT_EQ(*io::read_file(simulated_.disk(), path, 1 << 20), whole);
  simulated_.close();
}

TEST_F(EmbeddedStoreTest, AFileThatCannotBeMendedIsReadAllTheSame) {
  simulated_.open();
  write(kStart, 1);
  seal();
  simulated_.close();
  const std::string path = "/store/files/" + files().at(0);
  const std::size_t size = io::read_file(simulated_.disk(), path, 1 << 20)->size();
  bool failed = false;
  for (int sync = 1; sync < 20 && !failed; ++sync) {  // until it is the file's
    simulated_.disk().damage(path, size - 1);
    simulated_.disk().fail_sync(sync);
    if (!simulated_.try_open()) continue;
    const auto& damage = simulated_.report().damage;
    failed = std::any_of(damage.begin(), damage.end(), [](const std::string& each) {
      return each.find("cannot be mended") != std::string::npos;
    });
    EXPECT_EQ(rows(), (std::vector<Row>{{kStart, "a", 1}}));
    simulated_.close();
  }
  EXPECT_TRUE(failed);
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

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
