#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/metric_catalogue.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

using namespace std::chrono_literals;
using Row = std::vector<std::string>;

constexpr Timestamp kStart = from_unix_milliseconds(1'735'689'600'000);
enum Column {
  kTime,
  kMetric,
  kIndex,
  kDevice,
  kUuid,
  kModel,
  kHost,
  kContainer,
  kPod,
  kNamespace,
  kValue,
  kLabels
};

std::string simulated(const SimulatorOptions& options, std::chrono::milliseconds duration) {
  std::string text;
  const TextSink sink = [&text](std::string_view piece) {
    text += piece;
    return Result<void>{};
  };
  EXPECT_TRUE(simulate_csv(options, duration, kStart, sink));
  return text;
}

// RFC 4180 with lines that end in LF; fails the test on anything else.
std::vector<Row> parse_csv(const std::string& text) {
  std::vector<Row> rows;
  std::size_t at = 0;
  while (at < text.size()) {
    Row& row = rows.emplace_back();
    for (bool more = true; more; ++at) {
      std::string field;
      if (text[at] == '"') {
        for (++at;; ++at) {
          if (at >= text.size()) {
            ADD_FAILURE() << "an open quote at the end";
            return rows;
          }
          if (text[at] != '"') {
            field += text[at];
          } else if (text[at + 1] == '"') {
            field += text[++at];
          } else {
            ++at;
            break;
          }
        }
      } else {
        while (text[at] != ',' && text[at] != '\n') field += text[at++];
        EXPECT_EQ(field.find('"'), std::string::npos);
      }
      row.push_back(field);
      EXPECT_TRUE(text[at] == ',' || text[at] == '\n') << "after " << field;
      more = text[at] == ',';
    }
  }
  return rows;
}

// The rows without the header.
std::vector<Row> simulated_rows(const SimulatorOptions& options,
                                std::chrono::milliseconds duration) {
  std::vector<Row> rows = parse_csv(simulated(options, duration));
  rows.erase(rows.begin());
  return rows;
}

std::map<std::string, std::string> labels_of(const Row& row) {
  std::map<std::string, std::string> labels;
  std::string_view rest = row[kLabels];
  std::string_view previous;
  while (!rest.empty()) {
    const std::size_t equals = rest.find("=\"");
    const std::size_t end = rest.find('"', equals + 2);
    EXPECT_NE(end, std::string_view::npos) << row[kLabels];
    const std::string_view name = rest.substr(0, equals);
    EXPECT_LT(previous, name) << "not sorted";
    previous = name;
    labels[std::string(name)] = rest.substr(equals + 2, end - equals - 2);
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  return labels;
}

TEST(SimulatedCsv, TheSameSeedGivesTheSameBytesAndAnotherOneDoesNot) {
  SimulatorOptions options;
  const std::string text = simulated(options, 10min);
  EXPECT_EQ(simulated(options, 10min), text);
  EXPECT_EQ(simulated(options, 20min).substr(0, text.size()), text);
  options.seed = 2;
  EXPECT_NE(simulated(options, 10min), text);
}

TEST(SimulatedCsv, HasTheColumnsOfTheExporter) {
  SimulatorOptions options;
  const std::string text = simulated(options, 10min);
  EXPECT_EQ(text.substr(0, text.find('\n')),
            "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,"
            "value,labels_raw");
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(text.find('\r'), std::string::npos);
  for (const Row& row : parse_csv(text)) ASSERT_EQ(row.size(), 12U);
}

TEST(SimulatedCsv, EveryFieldBelowTheHeaderIsQuoted) {
  std::istringstream lines(simulated({}, 1min));
  std::string line;
  std::getline(lines, line);
  std::getline(lines, line);
  EXPECT_EQ(line.find("\"2025-01-01T00:00:00Z\",\"DCGM_FI_DEV_GPU_UTIL\",\"0\",\"nvidia0\",\"GPU-"),
            0U);
  EXPECT_NE(
      line.find(R"(","DCGM_FI_DRIVER_VERSION=""535.129.03"",Hostname=""node-001"",UUID=""GPU-)"),
      std::string::npos);
}

TEST(SimulatedCsv, WithoutEventsEveryGpuHasTenReadingsInEachPass) {
  SimulatorOptions options;
  options.gpus = 37;
  options.hosts = 5;
  options.events = false;
  const std::vector<Row> rows = simulated_rows(options, 25min);
  EXPECT_EQ(rows.size(), 37U * 10U * 150U);
  std::set<std::string> metrics;
  std::set<std::string> uuids;
  std::set<std::string> hosts;
  for (const Row& row : rows) {
    metrics.insert(row[kMetric]);
    uuids.insert(row[kUuid]);
    hosts.insert(row[kHost]);
  }
  EXPECT_EQ(metrics.size(), 10U);
  EXPECT_EQ(uuids.size(), 37U);
  EXPECT_EQ(hosts.size(), 5U);
}

TEST(SimulatedCsv, PassesAreMetricMajorAndStepThroughFourSeconds) {
  SimulatorOptions options;
  options.gpus = 3;
  options.events = false;
  const std::vector<Row> rows = simulated_rows(options, 20s);
  ASSERT_EQ(rows.size(), 60U);
  constexpr std::pair<const char*, const char*> kExpected[] = {
      {"2025-01-01T00:00:10Z", "DCGM_FI_DEV_GPU_UTIL"},
      {"2025-01-01T00:00:10Z", "DCGM_FI_DEV_MEM_COPY_UTIL"},
      {"2025-01-01T00:00:10Z", "DCGM_FI_DEV_POWER_USAGE"},
      {"2025-01-01T00:00:11Z", "DCGM_FI_DEV_GPU_TEMP"},
      {"2025-01-01T00:00:11Z", "DCGM_FI_DEV_FB_USED"},
      {"2025-01-01T00:00:11Z", "DCGM_FI_DEV_FB_FREE"},
      {"2025-01-01T00:00:12Z", "DCGM_FI_DEV_DEC_UTIL"},
      {"2025-01-01T00:00:13Z", "DCGM_FI_DEV_ENC_UTIL"},
      {"2025-01-01T00:00:13Z", "DCGM_FI_DEV_SM_CLOCK"},
      {"2025-01-01T00:00:13Z", "DCGM_FI_DEV_MEM_CLOCK"}};
  for (std::size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(rows[30 + i][kTime], kExpected[i / 3].first);
    EXPECT_EQ(rows[30 + i][kMetric], kExpected[i / 3].second);
    EXPECT_EQ(rows[30 + i][kIndex], std::to_string(i % 3));
  }
}

TEST(SimulatedCsv, ShortIntervalsKeepTheirPassesApart) {
  SimulatorOptions options;
  options.gpus = 1;
  options.interval = 100ms;
  options.events = false;
  std::string previous;
  const std::vector<Row> rows = simulated_rows(options, 1s);
  ASSERT_EQ(rows.size(), 100U);
  Timestamp last;
  for (const Row& row : rows) {
    const Timestamp time = *parse_rfc3339(row[kTime]);
    EXPECT_GE(time, last);
    last = time;
  }
  EXPECT_EQ(last, kStart + 975ms);
}

TEST(SimulatedCsv, LabelsSayTheSameAsTheColumns) {
  SimulatorOptions options;
  for (const Row& row : simulated_rows(options, 10min)) {
    const std::map<std::string, std::string> labels = labels_of(row);
    ASSERT_EQ(labels.at("__name__"), row[kMetric]);
    ASSERT_EQ(labels.at("gpu"), row[kIndex]);
    ASSERT_EQ(labels.at("device"), row[kDevice]);
    ASSERT_EQ(labels.at("UUID"), row[kUuid]);
    ASSERT_EQ(labels.at("modelName"), row[kModel]);
    ASSERT_EQ(labels.at("Hostname"), row[kHost]);
    ASSERT_EQ(labels.at("instance"), row[kHost] + ":9400");
    ASSERT_EQ(labels.contains("pod") ? labels.at("pod") : "", row[kPod]);
    ASSERT_EQ(labels.contains("container") ? labels.at("container") : "", row[kContainer]);
    ASSERT_EQ(labels.contains("namespace") ? labels.at("namespace") : "", row[kNamespace]);
    GpuUuid uuid;
    ASSERT_TRUE(GpuUuid::try_parse(row[kUuid], uuid));
  }
}

TEST(SimulatedCsv, ValuesAreInTheValidRangesOfTheirFieldsOrBlank) {
  SimulatorOptions options;
  options.gpus = 64;
  std::size_t blanks = 0;
  std::map<std::string, int> rows_of;
  const std::vector<Row> rows = simulated_rows(options, 25min);
  for (const Row& row : rows) {
    const MetricDefinition* definition = find_metric(row[kMetric]);
    ASSERT_NE(definition, nullptr);
    const Reading reading = interpret_reading(definition, row[kValue]);
    blanks += reading.rejection == Rejection::kBlank ? 1 : 0;
    ++rows_of[row[kMetric]];
    if (reading.rejection != Rejection::kNone) {
      ASSERT_EQ(to_string(reading.rejection), "blank") << row[kMetric] << ' ' << row[kValue];
    }
  }
  EXPECT_GT(blanks, 0U);
  EXPECT_LT(blanks, rows.size() / 100);
  EXPECT_GT(rows_of["DCGM_FI_DEV_XID_ERRORS"], 0);
  EXPECT_GT(rows_of["DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"], 0);
  EXPECT_GT(rows_of["DCGM_FI_DEV_ECC_SBE_VOL_TOTAL"], 0);
  EXPECT_EQ(rows_of.size(), 14U);
}

TEST(SimulatedCsv, PowerHasAtMostThreeDecimalsAndNoZeroAtTheEnd) {
  SimulatorOptions options;
  options.events = false;
  for (const Row& row : simulated_rows(options, 10min)) {
    const std::size_t point = row[kValue].find('.');
    if (row[kMetric] != "DCGM_FI_DEV_POWER_USAGE") {
      ASSERT_EQ(point, std::string::npos);
    } else if (point != std::string::npos) {
      ASSERT_GE(row[kValue].size() - point, 2U);
      ASSERT_LE(row[kValue].size() - point, 4U);
      ASSERT_NE(row[kValue].back(), '0');
    }
  }
}

TEST(SimulatedCsv, PodsChangeOverTime) {
  SimulatorOptions options;
  options.interval = 30s;
  std::map<std::string, std::set<std::string>> pods;
  std::set<std::string> namespaces;
  for (const Row& row : simulated_rows(options, 2h)) {
    pods[row[kUuid]].insert(row[kPod]);
    namespaces.insert(row[kNamespace]);
    ASSERT_EQ(row[kPod].empty(), row[kNamespace].empty());
    ASSERT_EQ(row[kPod].empty(), row[kContainer].empty());
  }
  for (const auto& [uuid, names] : pods) EXPECT_GE(names.size(), 3U) << uuid;
  EXPECT_GE(namespaces.size(), 4U);
}

TEST(SimulatedCsv, AnErrorOfTheSinkEndsTheSimulation) {
  int pieces = 0;
  const TextSink sink = [&pieces](std::string_view) -> Result<void> {
    if (++pieces == 3) return unavailable("disk full");
    return {};
  };
  SimulatorOptions options;
  options.gpus = 1000;
  const auto written = simulate_csv(options, 1h, kStart, sink);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error(), unavailable("disk full"));
  EXPECT_EQ(pieces, 3);
}

TEST(SimulatedCsv, WrongOptionsAreNamed) {
  const TextSink sink = [](std::string_view) { return Result<void>{}; };
  SimulatorOptions options;
  options.interval = 0ms;
  EXPECT_NE(simulate_csv(options, 1h, kStart, sink).error().message.find("interval"),
            std::string::npos);
  options = {};
  options.gpus = 0;
  EXPECT_NE(simulate_csv(options, 1h, kStart, sink).error().message.find("gpus is 0"),
            std::string::npos);
  options = {};
  options.hosts = 17;
  EXPECT_NE(simulate_csv(options, 1h, kStart, sink).error().message.find("hosts is 17"),
            std::string::npos);
  options = {};
  options.interval = 25h;
  EXPECT_EQ(validate(options).error().code, ErrorCode::kInvalid);
  options = {};
  options.mean_job_duration = 1s;
  EXPECT_EQ(validate(options).error().code, ErrorCode::kInvalid);
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(SimulationFile, IsWhatTheSimulatorWrites) {
  SimulationFileOptions options;
  options.duration = 10min;
  const std::string path = ::testing::TempDir() + "simulation_" + std::to_string(::getpid());
  ASSERT_TRUE(write_simulation(options, path));
  EXPECT_EQ(file_text(path), simulated(options.fleet, 10min));
  std::filesystem::remove(path);
}

TEST(SimulationFile, APlaceThatCannotBeWrittenIsNamed) {
  const auto written = write_simulation({}, "/nowhere/at/all.csv");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(written.error().message.find("/nowhere/at/all.csv"), std::string::npos);
}

TEST(SimulationFile, AFullDiskIsReported) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "this system has no /dev/full";
  const auto written = write_simulation({}, "/dev/full");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kUnavailable);
}

// data/README.md has the command.
TEST(SimulationFile, TheSampleInDataIsTheOneThatItsCommandMakes) {
  SimulationFileOptions options;
  options.fleet.gpus = 8;
  options.fleet.hosts = 2;
  options.fleet.seed = 7;
  options.fleet.interval = 30s;
  options.duration = 12min;
  const std::string expected = simulated(options.fleet, options.duration);
  const std::string actual = file_text(GPU_TELEMETRY_DATA_DIR "/dcgm_metrics.csv");
  EXPECT_LE(actual.size(), 1'000'000U);
  EXPECT_TRUE(actual == expected) << "data/dcgm_metrics.csv differs from what the simulator makes "
                                     "now: make it anew as data/README.md says";
}

}  // namespace
}  // namespace gpu_telemetry::sources
