// What is read from a file, and what is refused.
#include "sources/csv/csv_source_test.h"

#include <zlib.h>

namespace gpu_telemetry::sources {
namespace {

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

}  // namespace
}  // namespace gpu_telemetry::sources
