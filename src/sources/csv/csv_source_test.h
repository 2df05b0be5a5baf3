// What the tests of the CSV source share: rows as a capture has them, and a source read to its end.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sources/csv/csv_source.h"

namespace gpu_telemetry::sources {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

inline constexpr std::string_view kHeader =
    "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,"
    "labels_raw\n";
inline constexpr std::string_view kFirst = "GPU-00000000-0000-0000-0000-000000000001";
inline constexpr std::string_view kSecond = "GPU-00000000-0000-0000-0000-000000000002";

inline std::string time_text(int second) {
  return "2025-07-18T20:42:" + std::to_string(10 + second) + "Z";
}
inline Timestamp time_at(int second) { return *parse_rfc3339(time_text(second)); }

// A row as the capture has them; `labels` are added to the usual ones.
inline std::string row(int second, std::string_view metric, std::string_view uuid,
                       std::string_view value, std::string_view labels = "") {
  const std::string index(1, static_cast<char>(uuid.back() - 1));
  std::string out = "\"" + time_text(second) + "\",\"" + std::string(metric) + "\",\"" + index +
                    "\",\"nvidia" + index + "\",\"" + std::string(uuid) +
                    "\",\"NVIDIA H100 80GB HBM3\",\"node-1\",\"\",\"\",\"\",\"" +
                    std::string(value) + "\",\"DCGM_FI_DRIVER_VERSION=\"\"535.129.03\"\",";
  out +=
      std::string(labels) + "Hostname=\"\"node-1\"\",UUID=\"\"" + std::string(uuid) +
      "\"\",__name__=\"\"" + std::string(metric) + "\"\",device=\"\"nvidia" + index +
      "\"\",gpu=\"\"" + index +
      "\"\",instance=\"\"node-1:9400\"\",job=\"\"dgx_dcgm_exporter\"\",modelName=\"\"NVIDIA H100 "
      "80GB HBM3\"\"\"\n";
  return out;
}

// What a source said, in a form that is easy to compare: "uuid time metric" to value.
struct Heard {
  std::map<std::string, double> readings;
  std::vector<TelemetryBatch> batches;
  std::size_t scrapes = 0;
};

inline void expect_valid(const TelemetryBatch& batch) {
  std::size_t next = 0;
  for (const Scrape& scrape : batch.scrapes) {
    EXPECT_LT(scrape.gpu, batch.gpus.size());
    EXPECT_EQ(scrape.first_sample, next);
    EXPECT_GT(scrape.sample_count, 0U);
    EXPECT_GE(scrape.timestamp, kEarliestTimestamp);
    next += scrape.sample_count;
  }
  EXPECT_EQ(next, batch.samples.size());
  for (const Sample& sample : batch.samples) EXPECT_LT(sample.metric, batch.metrics.size());
  EXPECT_THAT(std::set<std::string>(batch.metrics.begin(), batch.metrics.end()),
              SizeIs(batch.metrics.size()));
}

inline std::string key_of(const GpuUuid& uuid, Timestamp time, std::string_view metric) {
  return uuid.to_string() + " " + format_rfc3339(time) + " " + std::string(metric);
}
inline std::string key(std::string_view uuid, int second, std::string_view metric) {
  return key_of(*GpuUuid::parse(uuid), time_at(second), metric);
}

inline void add(Heard& heard, const TelemetryBatch& batch) {
  expect_valid(batch);
  for (const Scrape& scrape : batch.scrapes) {
    for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
      const Sample& sample = batch.samples[scrape.first_sample + i];
      heard.readings[key_of(batch.gpus[scrape.gpu]->uuid, scrape.timestamp,
                            batch.metrics[sample.metric])] = sample.value;
    }
  }
  heard.scrapes += batch.scrapes.size();
  heard.batches.push_back(batch);
}

inline Heard read_all(Source& source, std::size_t max_rows = 1000) {
  Heard heard;
  TelemetryBatch batch;
  while (true) {
    const Result<SourceState> state = source.next(batch, max_rows, {});
    EXPECT_TRUE(state.has_value()) << state.error().message;
    if (!state || *state == SourceState::kEnd) return heard;
    EXPECT_LE(batch.samples.size(), max_rows);
    add(heard, batch);
  }
}

class CsvSourceTest : public testing::Test {
 protected:
  CsvSourceTest() { options_.timestamp_mode = TimestampMode::kSource; }
  ~CsvSourceTest() override { std::filesystem::remove(path_); }

  void write(std::string_view text) {
    std::ofstream(path_, std::ios::binary) << text;
    options_.path = path_;
    options_.clock = &clock_;
  }
  std::unique_ptr<Source> open(std::string_view text) {
    write(text);
    Result<std::unique_ptr<Source>> source = open_csv_source(options_);
    EXPECT_TRUE(source.has_value()) << source.error().message;
    return source ? std::move(*source) : nullptr;
  }
  Error open_error(std::string_view text) {
    write(text);
    const Result<std::unique_ptr<Source>> source = open_csv_source(options_);
    EXPECT_FALSE(source.has_value());
    return source ? Error{} : source.error();
  }
  Heard read(std::string_view text) {
    source_ = open(text);
    return source_ ? read_all(*source_) : Heard{};
  }
  Heard read_rows(std::string_view rows) { return read(std::string(kHeader) + std::string(rows)); }
  std::uint64_t malformed() const { return source_->counters().rows_malformed; }
  std::uint64_t accepted() const { return source_->counters().rows_accepted; }
  std::uint64_t rejected(Rejection why) const {
    return source_->counters().rejected[static_cast<std::size_t>(why)];
  }

  const std::string path_ = std::filesystem::temp_directory_path() /
                            ("csv_source_test." + std::to_string(::getpid()) + "." +
                             testing::UnitTest::GetInstance()->current_test_info()->name());
  ManualClock clock_{*parse_rfc3339("2025-08-01T00:00:00Z")};
  CsvSourceOptions options_;
  std::unique_ptr<Source> source_;
};

}  // namespace gpu_telemetry::sources
