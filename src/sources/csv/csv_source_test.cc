#include "sources/csv/csv_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

namespace gpu_telemetry::sources {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::string_view kHeader =
    "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,"
    "labels_raw\n";
constexpr std::string_view kFirst = "GPU-00000000-0000-0000-0000-000000000001";
constexpr std::string_view kSecond = "GPU-00000000-0000-0000-0000-000000000002";

std::string time_text(int second) {
  return "2025-07-18T20:42:" + std::to_string(10 + second) + "Z";
}
Timestamp time_at(int second) { return *parse_rfc3339(time_text(second)); }

// A row as the capture has them; `labels` are added to the usual ones.
std::string row(int second, std::string_view metric, std::string_view uuid, std::string_view value,
                std::string_view labels = "") {
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

std::string gzip(std::string_view text) {
  z_stream zlib{};
  EXPECT_EQ(deflateInit2(&zlib, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string input(text);
  std::string out(compressBound(text.size()) + 64, '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(input.data());
  zlib.avail_in = static_cast<uInt>(input.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  return out;
}

// What a source said, in a form that is easy to compare: "uuid time metric" to value.
struct Heard {
  std::map<std::string, double> readings;
  std::vector<TelemetryBatch> batches;
  std::size_t scrapes = 0;
};

void expect_valid(const TelemetryBatch& batch) {
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

std::string key_of(const GpuUuid& uuid, Timestamp time, std::string_view metric) {
  return uuid.to_string() + " " + format_rfc3339(time) + " " + std::string(metric);
}
std::string key(std::string_view uuid, int second, std::string_view metric) {
  return key_of(*GpuUuid::parse(uuid), time_at(second), metric);
}

void add(Heard& heard, const TelemetryBatch& batch) {
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

Heard read_all(Source& source, std::size_t max_rows = 1000) {
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

TEST_F(CsvSourceTest, ReadsCrlfAndAByteOrderMark) {
  std::string text = std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "7") +
                     row(1, "DCGM_FI_DEV_GPU_UTIL", kFirst, "8");
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) {
    text.insert(at, "\r");
  }
  const Heard heard = read("\xef\xbb\xbf" + text);
  EXPECT_THAT(heard.readings, SizeIs(2));
  EXPECT_EQ(malformed(), 0U);
}

TEST_F(CsvSourceTest, TakesColumnsInAnyOrderUnderAnyOfTheirNames) {
  const Heard heard = read(
      "VALUE,ignored,gpu_uuid,exported_pod,pod,hostname,model_name,metric_name,"
      "timestamp\n1.5,x," +
      std::string(kFirst) + ",train-7,exporter,node-2,A100,my_metric," + time_text(3) + "\n");
  EXPECT_EQ(heard.readings.at(key(kFirst, 3, "my_metric")), 1.5);
  const Gpu& gpu = *heard.batches.at(0).gpus.at(0);
  EXPECT_EQ(gpu.attribution.pod, "train-7");
  EXPECT_EQ(gpu.hostname, "node-2");
  EXPECT_EQ(gpu.model_name, "A100");
  EXPECT_EQ(gpu.device_id, "");
}

TEST_F(CsvSourceTest, NeedsOnlyTheFourRequiredColumns) {
  const std::string rest = ",m," + std::string(kFirst) + ",";
  const Heard heard = read("timestamp,metric_name,uuid,value\n" + time_text(0) + rest + "3\n" +
                           time_text(1) + rest + "4");
  EXPECT_EQ(heard.readings.at(key(kFirst, 0, "m")), 3);
  EXPECT_EQ(heard.readings.at(key(kFirst, 1, "m")), 4);
}

TEST_F(CsvSourceTest, NamesTheRequiredColumnThatIsMissing) {
  for (const std::string column : {"timestamp", "metric_name", "uuid", "value"}) {
    std::string header = "timestamp,metric_name,uuid,value";
    header.replace(header.find(column), column.size(), "other");
    const Error error = open_error(header + "\n1,2,3,4\n");
    EXPECT_EQ(error.code, ErrorCode::kInvalid);
    EXPECT_THAT(error.message, HasSubstr("no column '" + column + "'"));
    EXPECT_THAT(error.message, HasSubstr(path_ + ":1"));
  }
}

TEST_F(CsvSourceTest, RefusesAColumnThatIsThereTwice) {
  EXPECT_THAT(open_error("timestamp,metric_name,uuid,UUID,value\n").message,
              HasSubstr("'UUID' twice, as column 3 and 4"));
}

TEST_F(CsvSourceTest, RefusesAnEmptyFile) {
  const Error error = open_error("");
  EXPECT_EQ(error.code, ErrorCode::kInvalid);
  EXPECT_THAT(error.message, HasSubstr("is empty"));
  EXPECT_THAT(open_error("\n\n").message, HasSubstr("is empty"));
}

TEST_F(CsvSourceTest, EndsAfterAHeaderWithoutRows) {
  EXPECT_THAT(read(kHeader).readings, SizeIs(0));
  EXPECT_EQ(source_->counters().passes, 1U);
  options_.loop = true;
  EXPECT_THAT(read(kHeader).readings, SizeIs(0));
}

TEST_F(CsvSourceTest, RefusesWhatIsNotCsv) {
  EXPECT_THAT(open_error("{\"json\": [1, 2, 3]}\n").message, HasSubstr("not a CSV file"));
  EXPECT_THAT(open_error(std::string("\x7f"
                                     "ELF\0\0\1\n",
                                     8))
                  .message,
              HasSubstr("not a CSV file"));
  EXPECT_THAT(open_error("hello world").message, HasSubstr("starts with 'hello world'"));
  EXPECT_THAT(open_error(std::string(3'000'000, 'x')).message, HasSubstr("not a CSV file"));
}

TEST_F(CsvSourceTest, SaysWhatCannotBeOpened) {
  options_.path = "/nonexistent/file.csv";
  EXPECT_EQ(open_csv_source(options_).error().code, ErrorCode::kNotFound);
  options_.path = "/tmp";
  EXPECT_THAT(open_csv_source(options_).error().message, HasSubstr("is a folder"));
  options_.path = "-";
  options_.loop = true;
  EXPECT_THAT(open_csv_source(options_).error().message, HasSubstr("only once"));
}

TEST_F(CsvSourceTest, ReadsGzipOfSeveralMembersAndPadding) {
  const std::string text =
      gzip(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1")) +
      gzip(row(0, "DCGM_FI_DEV_GPU_TEMP", kFirst, "2")) + std::string(100, '\0');
  EXPECT_THAT(read(text).readings, SizeIs(2));
}

TEST_F(CsvSourceTest, HandsOutWhatStandsBeforeDamageInGzip) {
  std::string rows;
  for (int i = 0; i < 20; ++i) rows += row(i, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1");
  const std::string whole = gzip(std::string(kHeader) + rows);
  for (const std::string& damaged : {whole.substr(0, whole.size() - 12), whole + "garbage"}) {
    const auto source = open(damaged);
    TelemetryBatch batch;
    ASSERT_TRUE(source->next(batch, 1000, {}));
    EXPECT_GE(batch.samples.size(), 19U);
    const Result<SourceState> state = source->next(batch, 1000, {});
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(state.error().message, HasSubstr(path_));
  }
}

TEST_F(CsvSourceTest, SkipsTornRowsAndCountsThem) {
  const std::string whole = row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1");
  const Heard heard =
      read_rows(whole + whole.substr(0, 60) + "\n" + row(1, "DCGM_FI_DEV_GPU_UTIL", kFirst, "2") +
                whole.substr(0, whole.size() - 20));
  EXPECT_THAT(heard.readings, SizeIs(2));
  EXPECT_EQ(malformed(), 2U);
}

TEST_F(CsvSourceTest, SkipsRowsWithNuls) {
  const std::string nuls(500, '\0');
  std::string in_value = row(2, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1");
  in_value.replace(in_value.find("node-1"), 4, 4, '\0');
  const Heard heard =
      read_rows(nuls + "\n" + row(1, "DCGM_FI_DEV_GPU_UTIL", kFirst, "2") + in_value);
  EXPECT_THAT(heard.readings, SizeIs(1));
  EXPECT_EQ(malformed(), 2U);
}

TEST_F(CsvSourceTest, SkipsALineOfAHundredMegabytes) {
  const Heard heard =
      read_rows(row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1") + std::string(100'000'000, 'x') + "\n" +
                row(1, "DCGM_FI_DEV_GPU_UTIL", kFirst, "2"));
  EXPECT_THAT(heard.readings, SizeIs(2));
  EXPECT_EQ(malformed(), 1U);
}

TEST_F(CsvSourceTest, KeepsTheRowsAfterAQuoteThatNeverCloses) {
  std::string rows;
  for (int i = 0; i < 20; ++i) rows += row(i, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1");
  std::string torn = row(0, "DCGM_FI_DEV_GPU_UTIL", kSecond, "1");
  torn.erase(torn.find("\",\"nvidia"), 1);
  const Heard heard = read_rows(torn + rows);
  EXPECT_THAT(heard.readings, SizeIs(20));
  EXPECT_EQ(malformed(), 1U);
}

TEST_F(CsvSourceTest, SkipsTimesThatCannotBe) {
  options_.clock = &clock_;
  const auto with_time = [](std::string_view time) {
    return std::string(time) + ",m," + std::string(kFirst) + ",1\n";
  };
  std::string text = "timestamp,metric_name,uuid,value\n";
  for (const char* time :
       {"2025-02-30T00:00:00Z", "2025-07-18T20:42:34", "yesterday", "", "2001-09-09T23:59:59Z",
        "2025-08-01T00:10:01Z", "\"2025-07-18T20:42:34Z"}) {
    text += with_time(time);
  }
  for (const char* time :
       {"2001-09-10T00:00:00Z", "2025-08-01T00:10:00Z", "2025-07-18t20:42:34.1239+02:00"}) {
    text += with_time(time);
  }
  const Heard heard = read(text);
  EXPECT_EQ(malformed(), 7U);
  EXPECT_THAT(heard.readings, SizeIs(3));
  EXPECT_TRUE(heard.readings.contains(
      key_of(*GpuUuid::parse(kFirst), *parse_rfc3339("2025-07-18T18:42:34.123Z"), "m")));
}

TEST_F(CsvSourceTest, CountsWhatIsNoReadingByReason) {
  std::string rows;
  for (const char* value : {"12abc", "0x10", "1 2"}) {
    rows += row(0, "DCGM_FI_DEV_FB_USED", kFirst, value);
  }
  for (const char* value :
       {"", "N/A", "nan", "-inf", "<<<NULL>>>", "9223372036854775792", "2147483632"}) {
    rows += row(0, "DCGM_FI_DEV_GPU_TEMP", kFirst, value);
  }
  rows += row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "250");
  rows += row(0, "DCGM_FI_DEV_POWER_USAGE", kFirst, " 71.25 ");
  const Heard heard = read_rows(rows);
  EXPECT_THAT(heard.readings,
              ElementsAre(std::pair(key(kFirst, 0, "DCGM_FI_DEV_POWER_USAGE"), 71.25)));
  EXPECT_EQ(source_->counters().rows_absent, 11U);
  EXPECT_EQ(rejected(Rejection::kNotANumber), 3U);
  EXPECT_EQ(rejected(Rejection::kBlank), 7U);
  EXPECT_EQ(rejected(Rejection::kOutOfRange), 1U);
  EXPECT_EQ(malformed(), 0U);
}

TEST_F(CsvSourceTest, TakesBothNamesOfARenamedFieldForOneMetric) {
  const Heard heard = read_rows(row(0, "DCGM_FI_DEV_GPU_TEMP", kFirst, "50") +
                                row(0, "DCGM_FI_DEV_GPU_TEMP_CELSIUS", kSecond, "51") +
                                row(0, "DCGM_FI_DEV_GPU_TEMP_CELSIUS", kFirst, "52"));
  EXPECT_THAT(heard.readings, ElementsAre(std::pair(key(kFirst, 0, "DCGM_FI_DEV_GPU_TEMP"), 52),
                                          std::pair(key(kSecond, 0, "DCGM_FI_DEV_GPU_TEMP"), 51)));
  EXPECT_THAT(heard.batches.at(0).metrics, ElementsAre("DCGM_FI_DEV_GPU_TEMP"));
  EXPECT_EQ(heard.batches.at(0).samples.size(), 2U);
}

TEST_F(CsvSourceTest, SkipsRowsWithABadUuidNameOrColumnCount) {
  const Heard heard = read_rows(row(0, "DCGM_FI_DEV_GPU_UTIL", "GPU-1", "1") +
                                row(0, "no-metric name", kFirst, "1") + "1,2,3\n" +
                                std::string(kHeader).insert(kHeader.size() - 1, ",more") +
                                row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  EXPECT_THAT(heard.readings, SizeIs(1));
  EXPECT_EQ(malformed(), 4U);
}

TEST_F(CsvSourceTest, MakesAMigInstanceAnEntityOfItsOwn) {
  const auto mig = [](std::string_view id, std::string_view value) {
    return row(0, "DCGM_FI_DEV_FB_USED", kFirst, value,
               "GPU_I_ID=\"\"" + std::string(id) + "\"\",GPU_I_PROFILE=\"\"1g.10gb\"\",");
  };
  const Heard heard =
      read_rows(row(0, "DCGM_FI_DEV_FB_USED", kFirst, "1") + mig("7", "2") + mig("8", "3"));
  const GpuUuid parent = *GpuUuid::parse(kFirst);
  const auto reading = [&](const GpuUuid& uuid) {
    return heard.readings.at(key_of(uuid, time_at(0), "DCGM_FI_DEV_FB_USED"));
  };
  EXPECT_EQ(reading(parent), 1);
  EXPECT_EQ(reading(parent.mig_instance("7")), 2);
  EXPECT_EQ(reading(parent.mig_instance("8")), 3);
  EXPECT_THAT(heard.batches.at(0).gpus.at(1)->labels,
              ElementsAre(std::pair("DCGM_FI_DRIVER_VERSION", "535.129.03"),
                          std::pair("GPU_I_ID", "7"), std::pair("GPU_I_PROFILE", "1g.10gb"),
                          std::pair("parent_uuid", std::string(kFirst))));
}

TEST_F(CsvSourceTest, TakesThePodFromTheLabelsWhenItsColumnIsEmpty) {
  const Heard heard = read_rows(
      row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1") +
      row(1, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1",
          "exported_pod=\"\"train-1\"\",exported_namespace=\"\"ml\"\",pod=\"\"exporter-x\"\",") +
      row(2, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1", "pod=\"\"train-2\"\",container=\"\"main\"\","));
  const auto& gpus = heard.batches.at(0).gpus;
  ASSERT_THAT(gpus, SizeIs(3));
  EXPECT_EQ(gpus[0]->attribution, Attribution{});
  EXPECT_EQ(gpus[1]->attribution, (Attribution{"", "train-1", "ml"}));
  EXPECT_EQ(gpus[2]->attribution, (Attribution{"main", "train-2", ""}));
  EXPECT_THAT(gpus[1]->labels, SizeIs(1));
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
