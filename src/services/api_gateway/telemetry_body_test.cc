#include "services/api_gateway/telemetry_body.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <sstream>
#include <vector>

#include "storage/row_cursor.h"

namespace gpu_telemetry::services {
namespace {

// Metrics whose names have every length from 1 to 40, some hundred times.
class Readings {
 public:
  static constexpr int kTimes = 200;

  Readings() {
    for (std::size_t length = 1; length <= 40; ++length) {
      names.push_back(std::string(length, static_cast<char>('a' + length % 26)));
    }
    std::sort(names.begin(), names.end());
    for (int i = kTimes; i > 0; --i) {
      const Timestamp time = kEarliestTimestamp + std::chrono::milliseconds{1500 * i};
      for (std::uint32_t metric = 0; metric < names.size(); ++metric) {
        samples.push_back({time, metric, i + metric / 1000.0});
      }
    }
  }

  std::vector<std::string> names;
  std::vector<storage::StoredSample> samples;
};

const Readings& readings() {
  static const Readings all;
  return all;
}

class ReadingsCursor final : public storage::RowCursor {
 public:
  Result<std::span<const storage::StoredSample>> next() override {
    const auto rest = std::span(readings().samples).subspan(given_);
    const auto block = rest.first(std::min<std::size_t>(rest.size(), 777));
    given_ += block.size();
    return block;
  }
  std::span<const std::string> metric_names() const override { return readings().names; }

 private:
  std::size_t given_ = 0;
};

std::string body_of(TelemetryShape shape, std::size_t piece) {
  TelemetrySamples samples;
  samples.cursor = std::make_unique<ReadingsCursor>();
  const auto body = make_telemetry_body(shape, std::move(samples));
  std::string text;
  while (true) {
    const auto last = body->write(text, piece);
    EXPECT_TRUE(last) << last.error();
    if (!last || *last) return text;
  }
}

std::string time_of(const storage::StoredSample& sample) {
  return format_rfc3339(sample.timestamp);
}

TEST(TelemetryBody, RowsAreWholeWhateverTheirLengthAndThePieces) {
  for (const std::size_t piece : {1UL, 5000UL, 1UL << 20}) {
    std::istringstream csv(body_of(TelemetryShape::kCsv, piece));
    std::string line;
    std::getline(csv, line);
    EXPECT_EQ(line, "timestamp,gpu_uuid,metric_name,value\r");
    for (const auto& sample : readings().samples) {
      ASSERT_TRUE(std::getline(csv, line));
      std::ostringstream expected;
      expected << time_of(sample) << ',' << GpuUuid().to_string() << ','
               << readings().names[sample.metric] << ',' << sample.value << '\r';
      ASSERT_EQ(line, expected.str());
    }
    EXPECT_FALSE(std::getline(csv, line));
  }
}

TEST(TelemetryBody, PointsAreOneDocument) {
  const auto document = boost::json::parse(body_of(TelemetryShape::kPoints, 5000));
  const auto& points = document.at("telemetry").as_array();
  ASSERT_EQ(points.size(), readings().samples.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto& sample = readings().samples[i];
    ASSERT_EQ(points[i].at("metric_name").as_string(), readings().names[sample.metric]);
    ASSERT_EQ(points[i].at("timestamp").as_string(), time_of(sample));
    ASSERT_EQ(points[i].at("value").to_number<double>(), sample.value);
  }
}

TEST(TelemetryBody, LinesAreDocuments) {
  std::istringstream lines(body_of(TelemetryShape::kNdjson, 5000));
  std::string line;
  for (const auto& sample : readings().samples) {
    ASSERT_TRUE(std::getline(lines, line));
    const auto row = boost::json::parse(line);
    ASSERT_EQ(row.at("metric_name").as_string(), readings().names[sample.metric]);
    ASSERT_EQ(row.at("timestamp").as_string(), time_of(sample));
    ASSERT_EQ(row.at("value").to_number<double>(), sample.value);
  }
}

TEST(TelemetryBody, SeriesHaveEachMetricsTimesAndValues) {
  const auto document = boost::json::parse(body_of(TelemetryShape::kSeries, 5000));
  const auto& series = document.at("series").as_array();
  ASSERT_EQ(series.size(), readings().names.size());
  for (std::size_t metric = 0; metric < series.size(); ++metric) {
    EXPECT_EQ(series[metric].at("metric_name").as_string(), readings().names[metric]);
    const auto& times = series[metric].at("times").as_array();
    const auto& values = series[metric].at("values").as_array();
    ASSERT_EQ(times.size(), static_cast<std::size_t>(Readings::kTimes));
    ASSERT_EQ(values.size(), times.size());
    for (std::size_t i = 0; i < times.size(); ++i) {
      const auto& sample = readings().samples[i * series.size() + metric];
      ASSERT_EQ(times[i].as_int64(), unix_milliseconds(sample.timestamp));
      ASSERT_EQ(values[i].to_number<double>(), sample.value);
    }
  }
}

}  // namespace
}  // namespace gpu_telemetry::services
