// How rows become batches: grouping, cutting, times, loops, shards, pipes, limits.
#include <cstdlib>
#include <thread>

#include "sources/csv/csv_source_test.h"

namespace gpu_telemetry::sources {
namespace {

TEST_F(CsvSourceTest, RegroupsAMetricMajorFileIntoScrapesOfSeveralMetrics) {
  std::string rows;
  for (const char* metric :
       {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_FB_USED"}) {
    rows += row(0, metric, kFirst, "41") + row(0, metric, kSecond, "42.5");
  }
  const Heard heard = read_rows(rows);
  EXPECT_EQ(heard.scrapes, 2U);
  EXPECT_THAT(heard.readings, SizeIs(6));
  EXPECT_EQ(heard.readings.at(key(kSecond, 0, "DCGM_FI_DEV_GPU_TEMP")), 42.5);
  EXPECT_EQ(accepted(), 6U);
  const TelemetryBatch& batch = heard.batches.at(0);
  ASSERT_THAT(batch.gpus, SizeIs(2));
  const Gpu& gpu = *batch.gpus[0];
  EXPECT_EQ(gpu.uuid.to_string(), kFirst);
  EXPECT_EQ(gpu.device_id, "nvidia0");
  EXPECT_EQ(gpu.gpu_index, "0");
  EXPECT_EQ(gpu.model_name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(gpu.hostname, "node-1");
  EXPECT_EQ(gpu.attribution, Attribution{});
  EXPECT_THAT(gpu.labels, ElementsAre(std::pair("DCGM_FI_DRIVER_VERSION", "535.129.03")));
}

TEST_F(CsvSourceTest, SharesOneGpuAmongBatchesAndWaysOfWriting) {
  std::string rows;
  for (int i = 0; i < 10; ++i) {
    rows += row(i, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1", i % 2 == 0 ? "" : "err_code=\"\"43\"\",");
  }
  source_ = open(std::string(kHeader) + rows);
  const Heard heard = read_all(*source_, 3);
  EXPECT_THAT(heard.batches, SizeIs(4));
  for (const TelemetryBatch& batch : heard.batches) {
    EXPECT_THAT(batch.gpus, ElementsAre(heard.batches[0].gpus[0]));
  }
}

TEST_F(CsvSourceTest, CutsAScrapeOnlyWhenItIsLargerThanABatch) {
  std::string rows;
  for (int m = 0; m < 5; ++m) {
    for (const std::string_view uuid : {kFirst, kSecond}) {
      rows += row(0, "metric_" + std::to_string(m), uuid, std::to_string(m));
    }
  }
  source_ = open(std::string(kHeader) + rows);
  Heard heard = read_all(*source_, 8);
  EXPECT_THAT(heard.readings, SizeIs(10));
  EXPECT_THAT(heard.batches, ElementsAre(testing::Field(&TelemetryBatch::samples, SizeIs(5)),
                                         testing::Field(&TelemetryBatch::samples, SizeIs(5))));
  source_ = open(std::string(kHeader) + rows);
  heard = read_all(*source_, 1);
  EXPECT_THAT(heard.readings, SizeIs(10));
  EXPECT_THAT(heard.batches, SizeIs(10));
}

TEST_F(CsvSourceTest, KeepsTheLastOfTwoValuesOfOneReading) {
  const Heard heard = read_rows(row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1") +
                                row(0, "DCGM_FI_DEV_GPU_TEMP", kFirst, "30") +
                                row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "2"));
  EXPECT_THAT(heard.batches.at(0).samples, SizeIs(2));
  EXPECT_EQ(heard.readings.at(key(kFirst, 0, "DCGM_FI_DEV_GPU_UTIL")), 2);
}

TEST_F(CsvSourceTest, StampsEachTimestampOfAPassOnceAndStrictlyLater) {
  options_.timestamp_mode = TimestampMode::kNow;
  options_.loop = true;
  source_ = open(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1") +
                 row(1, "DCGM_FI_DEV_GPU_TEMP", kFirst, "1") +
                 row(0, "DCGM_FI_DEV_FB_USED", kFirst, "1"));
  TelemetryBatch batch;
  std::vector<Timestamp> times;
  for (int pass = 0; pass < 3; ++pass) {
    ASSERT_TRUE(source_->next(batch, 100, {}));
    ASSERT_THAT(batch.scrapes, SizeIs(2));
    EXPECT_EQ(batch.scrapes[0].sample_count, 2U);
    for (const Scrape& scrape : batch.scrapes) times.push_back(scrape.timestamp);
    if (pass == 1) clock_.advance(std::chrono::seconds{5});
  }
  const Timestamp start = *parse_rfc3339("2025-08-01T00:00:00Z");
  const auto later = [&](int milliseconds) { return start + Milliseconds{milliseconds}; };
  // The pass after the clock moved was not begun before.
  EXPECT_THAT(times, ElementsAre(later(0), later(1), later(2), later(3), later(5000), later(5001)));
  EXPECT_GE(source_->counters().passes, 3U);
}

// Stands still until somebody who waits looks at it again and again.
class WatchedClock final : public Clock {
 public:
  explicit WatchedClock(ManualClock& clock) : clock_(clock) {}
  Timestamp now() const override {
    if (++looks > 20) clock_.advance(std::chrono::milliseconds{500});
    return clock_.now();
  }
  SteadyTime steady_now() const override { return clock_.steady_now(); }

  mutable int looks = 0;  // since it was set to zero

 private:
  ManualClock& clock_;
};

TEST_F(CsvSourceTest, WaitsForTheClockRatherThanStampFarAheadOfIt) {
  write(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  WatchedClock clock(clock_);
  options_.clock = &clock;
  options_.timestamp_mode = TimestampMode::kNow;
  options_.loop = true;
  auto source = open_csv_source(options_);
  ASSERT_TRUE(source) << source.error();
  TelemetryBatch batch;
  for (int pass = 0; pass < 3000; ++pass) {
    clock.looks = 0;
    ASSERT_TRUE((*source)->next(batch, 100, {}));
    ASSERT_THAT(batch.scrapes, SizeIs(1));
    ASSERT_LE(batch.scrapes[0].timestamp, clock_.now() + std::chrono::milliseconds{1010});
  }
}

TEST_F(CsvSourceTest, DoesNotWaitBecauseTheClockWasSetBack) {
  options_.timestamp_mode = TimestampMode::kNow;
  options_.loop = true;
  source_ = open(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  TelemetryBatch batch;
  ASSERT_TRUE(source_->next(batch, 100, {}));
  clock_.set(clock_.now() - std::chrono::hours{1});
  ASSERT_TRUE(source_->next(batch, 100, {}));
  EXPECT_THAT(batch.scrapes, SizeIs(1));
}

TEST_F(CsvSourceTest, RepeatsTheSameTimesInALoopOfSourceTimes) {
  options_.loop = true;
  source_ = open(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  TelemetryBatch batch;
  for (int pass = 0; pass < 3; ++pass) {
    ASSERT_TRUE(source_->next(batch, 100, {}));
    ASSERT_THAT(batch.scrapes, SizeIs(1));
    EXPECT_EQ(batch.scrapes[0].timestamp, time_at(0));
  }
}

TEST_F(CsvSourceTest, GivesEachShardItsGpusAndAllOfThemTogetherEveryRow) {
  std::string text(kHeader);
  for (int i = 0; i < 10; ++i) {
    text +=
        row(0, "DCGM_FI_DEV_GPU_UTIL", std::string(kFirst.substr(0, 39)) + std::to_string(i), "1");
  }
  std::map<std::string, double> together;
  for (std::uint32_t index = 0; index < 3; ++index) {
    options_.shard = {index, 3};
    const Heard heard = read(text);
    EXPECT_EQ(accepted() + source_->counters().rows_other_shard, 10U);
    for (const auto& reading : heard.readings) EXPECT_TRUE(together.insert(reading).second);
  }
  EXPECT_THAT(together, SizeIs(10));
}

TEST_F(CsvSourceTest, StopsWhenAsked) {
  source_ = open(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  std::stop_source stop;
  stop.request_stop();
  TelemetryBatch batch;
  for (int i = 0; i < 2; ++i) {
    const Result<SourceState> state = source_->next(batch, 100, stop.get_token());
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().code, ErrorCode::kCancelled);
  }
  ASSERT_TRUE(source_->next(batch, 100, {}));
  EXPECT_THAT(batch.samples, SizeIs(1));
}

// A pipe whose writer is this test.
class CsvPipeTest : public testing::Test {
 protected:
  CsvPipeTest() {
    EXPECT_EQ(::pipe(ends_), 0);
    options_.path = "/dev/fd/" + std::to_string(ends_[0]);
    options_.timestamp_mode = TimestampMode::kSource;
  }
  ~CsvPipeTest() override {
    ::close(ends_[0]);
    close_writer();
  }
  void send(std::string_view text) {
    EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void close_writer() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

  int ends_[2] = {-1, -1};
  CsvSourceOptions options_;
};

TEST_F(CsvPipeTest, HandsOutTheRowsOfAPipeThatPauses) {
  const auto source = open_csv_source(options_);
  ASSERT_TRUE(source);
  send(kHeader);
  send(row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  const std::string torn = row(1, "DCGM_FI_DEV_GPU_UTIL", kFirst, "2");
  send(torn.substr(0, 100));
  TelemetryBatch batch;
  ASSERT_EQ((*source)->next(batch, 100, {}).value(), SourceState::kBatch);
  EXPECT_THAT(batch.samples, SizeIs(1));
  send(torn.substr(100));
  close_writer();
  ASSERT_EQ((*source)->next(batch, 100, {}).value(), SourceState::kBatch);
  EXPECT_THAT(batch.samples, SizeIs(1));
  EXPECT_EQ((*source)->next(batch, 100, {}).value(), SourceState::kEnd);
}

TEST_F(CsvPipeTest, ReportsABadHeaderWhenItComes) {
  const auto source = open_csv_source(options_);
  ASSERT_TRUE(source);
  send("a,b,c\n");
  TelemetryBatch batch;
  EXPECT_EQ((*source)->next(batch, 100, {}).error().code, ErrorCode::kInvalid);
}

TEST_F(CsvPipeTest, IsStoppedWhileItWaits) {
  const auto source = open_csv_source(options_);
  ASSERT_TRUE(source);
  std::stop_source stop;
  std::jthread stopper([&stop] { stop.request_stop(); });
  TelemetryBatch batch;
  EXPECT_EQ((*source)->next(batch, 100, stop.get_token()).error().code, ErrorCode::kCancelled);
}

// Forgets what it knew when there is too much of it, and loses nothing.
TEST_F(CsvSourceTest, ReadsMoreGpusAndMetricsThanItRemembers) {
  std::string text = "timestamp,metric_name,uuid,value\n";
  for (int i = 0; i < 150'000; ++i) {
    const std::string number = std::to_string(1'000'000 + i);
    text += time_text(i % 50) + ",metric_" + number + ",GPU-00000000-0000-0000-0000-00000" +
            number + "," + number + "\n";
  }
  source_ = open(text);
  TelemetryBatch batch;
  std::size_t samples = 0;
  while (source_->next(batch, 5000, {}).value() == SourceState::kBatch) {
    expect_valid(batch);
    for (const Scrape& scrape : batch.scrapes) {
      const Sample& sample = batch.samples[scrape.first_sample];
      const auto number = std::to_string(static_cast<int>(sample.value));
      ASSERT_EQ(batch.metrics[sample.metric], "metric_" + number);
      ASSERT_THAT(batch.gpus[scrape.gpu]->uuid.to_string(), testing::EndsWith(number));
    }
    samples += batch.samples.size();
  }
  EXPECT_EQ(samples, 150'000U);
}

TEST(CsvCapture, GivesEveryReadingOfARealCapture) {
  const char* const path = std::getenv("GPU_TELEMETRY_CAPTURE");
  if (path == nullptr) {
    GTEST_SKIP() << "GPU_TELEMETRY_CAPTURE is not set; it names a capture of 247 GPUs, 10 metrics "
                    "and 4 timestamps";
  }
  CsvSourceOptions options;
  options.path = path;
  options.timestamp_mode = TimestampMode::kSource;
  const auto source = open_csv_source(options);
  ASSERT_TRUE(source) << source.error().message;
  const Heard heard = read_all(**source);
  std::set<GpuPointer> gpus;
  std::set<Timestamp> times;
  for (const TelemetryBatch& batch : heard.batches) {
    gpus.insert(batch.gpus.begin(), batch.gpus.end());
    for (const Scrape& scrape : batch.scrapes) times.insert(scrape.timestamp);
  }
  EXPECT_THAT(gpus, SizeIs(247));
  EXPECT_THAT(times, SizeIs(4));
  EXPECT_THAT(heard.readings, SizeIs(2470));
  EXPECT_EQ(heard.scrapes, 988U);
  EXPECT_EQ((*source)->counters().rows_accepted, 2470U);
  EXPECT_EQ((*source)->counters().rows_malformed, 0U);
}

}  // namespace
}  // namespace gpu_telemetry::sources
