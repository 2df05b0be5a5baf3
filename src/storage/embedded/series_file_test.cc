#include "storage/embedded/series_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <limits>
#include <thread>

#include "io/bytes.h"
#include "io/crc32c.h"
#include "io/simulated_file_system.h"
#include "storage/embedded/series_file_test_data.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::int64_t kAlways = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

std::shared_ptr<const SeriesFileReader> write_and_open(io::FileSystem& files,
                                                       const TestFile& content,
                                                       const std::string& path = "/file") {
  const auto written = write_test_file(files, path, content);
  EXPECT_TRUE(written) << written.error();
  auto reader = SeriesFileReader::open(files, path);
  EXPECT_TRUE(reader) << reader.error();
  if (!reader) return nullptr;
  EXPECT_EQ((*reader)->summary().samples, written->samples);
  EXPECT_EQ((*reader)->summary().file_bytes, written->file_bytes);
  EXPECT_EQ((*reader)->summary().series, written->series);
  EXPECT_EQ((*reader)->summary().gpus, written->gpus);
  EXPECT_EQ((*reader)->summary().first, written->first);
  EXPECT_EQ((*reader)->summary().last, written->last);
  EXPECT_EQ((*reader)->stored_at(), from_unix_milliseconds(kTestStart + 1));
  return *reader;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 8) == 0);
}

TestFile one_column(std::vector<std::int64_t> timestamps, std::vector<double> values) {
  TestFile content;
  content.metrics = {"DCGM_FI_DEV_POWER_USAGE"};
  content.gpus[test_gpu(1)] = {{0, std::move(timestamps), std::move(values)}};
  return content;
}

// The samples of a column in [start, end], found the plain way.
TestColumn reference_range(const TestColumn& column, std::int64_t start, std::int64_t end) {
  TestColumn range;
  for (std::size_t i = 0; i < column.timestamps.size(); ++i) {
    if (column.timestamps[i] < start || column.timestamps[i] > end) continue;
    range.timestamps.push_back(column.timestamps[i]);
    range.values.push_back(column.values[i]);
  }
  return range;
}

std::vector<Bucket> reference_aggregate(const TestColumn& column, std::int64_t start,
                                        std::int64_t end, std::int64_t step) {
  std::vector<Bucket> buckets;
  std::vector<long double> sums;
  const TestColumn range = reference_range(column, start, end);
  for (std::size_t i = 0; i < range.timestamps.size(); ++i) {
    const std::int64_t time = range.timestamps[i];
    const double value = range.values[i];
    const std::int64_t bucket = time - time % step;  // test times are after 1970
    if (buckets.empty() || unix_milliseconds(buckets.back().start) != bucket) {
      buckets.push_back({from_unix_milliseconds(bucket), 0, 0, value, value, value});
      sums.push_back(0);
    }
    Bucket& last = buckets.back();
    ++last.count;
    sums.back() += value;
    last.sum = static_cast<double>(sums.back());
    last.min = std::min(last.min, value);
    last.max = std::max(last.max, value);
    last.last = value;
  }
  return buckets;
}

// Exact but for the sum, which may differ by `tolerance` of the sum of magnitudes.
void expect_same_aggregates(const std::vector<Bucket>& actual, const std::vector<Bucket>& expected,
                            double largest) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].start, expected[i].start);
    EXPECT_EQ(actual[i].count, expected[i].count);
    EXPECT_EQ(actual[i].min, expected[i].min);
    EXPECT_EQ(actual[i].max, expected[i].max);
    EXPECT_EQ(actual[i].last, expected[i].last);
    const double tolerance = largest * static_cast<double>(expected[i].count) * 1e-15 *
                             static_cast<double>(expected[i].count);
    if (std::isfinite(expected[i].sum) && std::isfinite(tolerance)) {
      EXPECT_NEAR(actual[i].sum, expected[i].sum, tolerance);
    }
  }
}

double largest_of(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

TEST(SeriesFile, KeepsColumnsOfEveryKindBitForBit) {
  std::mt19937_64 random(7);
  int number = 0;
  for (int value_kind = 0; value_kind < kValueKinds; ++value_kind) {
    for (int time_kind = 0; time_kind < kTimestampKinds; ++time_kind) {
      for (const std::size_t count : {1, 2, 3, 10, 127, 128, 129, 255, 256, 257, 425, 720}) {
        SCOPED_TRACE(testing::Message() << value_kind << " " << time_kind << " " << count);
        io::SimulatedFileSystem files;
        TestColumn column;
        column.timestamps = make_timestamps(TimestampKind(time_kind), count, random);
        column.values = make_values(ValueKind(value_kind), count, random);
        const auto reader = write_and_open(files, one_column(column.timestamps, column.values));
        ASSERT_TRUE(reader);
        const auto entries = reader->columns(test_gpu(1));
        ASSERT_EQ(entries.size(), 1);
        EXPECT_EQ(entries[0].samples, count);
        EXPECT_EQ(entries[0].first_timestamp, column.timestamps.front());
        EXPECT_EQ(entries[0].last_timestamp, column.timestamps.back());
        std::vector<std::int64_t> timestamps;
        std::vector<double> values;
        const auto read = reader->read(entries[0], kAlways, kForever, timestamps, values);
        ASSERT_TRUE(read) << read.error();
        EXPECT_EQ(timestamps, column.timestamps);
        EXPECT_TRUE(same_bits(values, column.values));
        EXPECT_THAT(reader->verify(), testing::IsEmpty());
        ++number;
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_EQ(number, kValueKinds * kTimestampKinds * 12);
}

TEST(SeriesFile, ReadsEveryRangeAroundTheEdgesOfGroups) {
  std::mt19937_64 random(8);
  for (int time_kind = 0; time_kind < kTimestampKinds; ++time_kind) {
    for (const std::size_t count : {300UL, 5000UL}) {
      io::SimulatedFileSystem files;
      TestColumn column;
      column.timestamps = make_timestamps(TimestampKind(time_kind), count, random);
      column.values = make_values(ValueKind::kMilliwatts, count, random);
      const auto reader = write_and_open(files, one_column(column.timestamps, column.values));
      ASSERT_TRUE(reader);
      const ColumnEntry entry = reader->columns(test_gpu(1))[0];
      std::vector<std::int64_t> edges = {kAlways, kForever, column.timestamps[0] - 1};
      for (const std::size_t i : {0UL, 1UL, 126UL, 127UL, 128UL, 129UL, 255UL, 256UL, 257UL, 298UL,
                                  299UL, count / 2, count - 2, count - 1}) {
        for (int off = -1; off <= 1; ++off) edges.push_back(column.timestamps[i] + off);
      }
      for (const std::int64_t start : edges) {
        for (const std::int64_t end : edges) {
          const TestColumn expected = reference_range(column, start, end);
          std::vector<std::int64_t> timestamps = {5};
          std::vector<double> values = {6};
          ASSERT_TRUE(reader->read(entry, start, end, timestamps, values));
          timestamps.erase(timestamps.begin());
          values.erase(values.begin());
          ASSERT_EQ(timestamps, expected.timestamps) << start << " " << end;
          ASSERT_TRUE(same_bits(values, expected.values)) << start << " " << end;
        }
      }
    }
  }
}

TEST(SeriesFile, AggregatesAsAPlainLoopDoes) {
  std::mt19937_64 random(9);
  for (int value_kind = 0; value_kind < kValueKinds; ++value_kind) {
    for (int time_kind = 0; time_kind < kTimestampKinds; ++time_kind) {
      SCOPED_TRACE(testing::Message() << value_kind << " " << time_kind);
      io::SimulatedFileSystem files;
      TestColumn column;
      column.timestamps = make_timestamps(TimestampKind(time_kind), 1000, random);
      column.values = make_values(ValueKind(value_kind), 1000, random);
      const auto reader = write_and_open(files, one_column(column.timestamps, column.values));
      ASSERT_TRUE(reader);
      const ColumnEntry entry = reader->columns(test_gpu(1))[0];
      const double largest = largest_of(column.values);
      for (const std::int64_t step :
           {1L, 1000L, 60'000L, 70'001L, 1'280'000L, 3'600'000L, 86'400'000L, kForever}) {
        for (int round = 0; round < 4; ++round) {
          std::int64_t start = column.timestamps[random() % 1000];
          std::int64_t end = column.timestamps[random() % 1000];
          if (round == 0) start = kAlways;
          if (round <= 1) end = kForever;
          std::vector<Bucket> buckets;
          ASSERT_TRUE(reader->aggregate(entry, start, end, step, buckets));
          expect_same_aggregates(buckets, reference_aggregate(column, start, end, step), largest);
          if (HasFailure()) return;
        }
      }
    }
  }
}

// Sums of readings with three digits are those of whole thousandths, rounded once; so whichever way
// a bucket is added up, the bits are the same.
TEST(SeriesFile, SumsOfDecimalReadingsAreExact) {
  std::mt19937_64 random(12);
  for (const std::int64_t widest : {1L, 600L, 70'000L, 400'000'000L, 40'000'000'000L}) {
    for (const std::int64_t unit : {1L, 15L}) {
      TestColumn column;
      std::vector<std::int64_t> thousandths;
      for (std::int64_t i = 0; i < 700; ++i) {
        column.timestamps.push_back(kTestStart + i * 1000 +
                                    static_cast<std::int64_t>(random() % 900));
        const auto away =
            static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(widest + 1));
        thousandths.push_back((away - widest / 3 - 70'001) * unit);
        column.values.push_back(static_cast<double>(thousandths.back()) / 1000);
      }
      io::SimulatedFileSystem files;
      const auto reader = write_and_open(files, one_column(column.timestamps, column.values));
      ASSERT_TRUE(reader);
      const ColumnEntry entry = reader->columns(test_gpu(1))[0];
      for (const std::int64_t step : {1000L, 2000L, 5500L, 8000L, 9000L, 60'000L, 100'000L}) {
        const std::int64_t start = column.timestamps[random() % 300];
        const std::int64_t end = column.timestamps[400 + random() % 300];
        std::vector<Bucket> buckets;
        ASSERT_TRUE(reader->aggregate(entry, start, end, step, buckets));
        std::size_t at = 0;
        while (column.timestamps[at] < start) ++at;
        for (const Bucket& bucket : buckets) {
          std::int64_t sum = 0;
          for (std::uint64_t i = 0; i < bucket.count; ++i) sum += thousandths[at++];
          ASSERT_EQ(bucket.sum, static_cast<double>(sum) / 1000);
          ASSERT_EQ(bucket.last, column.values[at - 1]);
        }
        EXPECT_TRUE(at == 700 || column.timestamps[at] > end);
      }
    }
  }
}

TEST(SeriesFile, ContinuesTheLastBucketOverConsecutiveFiles) {
  std::mt19937_64 random(10);
  TestColumn column;
  column.timestamps = make_timestamps(TimestampKind::kJitter, 600, random);
  column.values = make_values(ValueKind::kSmallIntegers, 600, random);
  io::SimulatedFileSystem files;
  std::vector<Bucket> buckets;
  for (int part = 0; part < 3; ++part) {
    const auto reader = write_and_open(
        files,
        one_column(
            {column.timestamps.begin() + 200 * part, column.timestamps.begin() + 200 * part + 200},
            {column.values.begin() + 200 * part, column.values.begin() + 200 * part + 200}),
        "/file" + std::to_string(part));
    ASSERT_TRUE(reader);
    ASSERT_TRUE(
        reader->aggregate(reader->columns(test_gpu(1))[0], kAlways, kForever, 3'600'000, buckets));
  }
  expect_same_aggregates(buckets, reference_aggregate(column, kAlways, kForever, 3'600'000), 100);
}

TestFile mixed_file(std::size_t gpus, std::size_t metrics, std::size_t samples,
                    std::uint64_t seed) {
  std::mt19937_64 random(seed);
  TestFile content;
  for (std::size_t i = 0; i < metrics; ++i) {
    content.metrics.push_back("metric_" + std::to_string(1000 + i));
  }
  std::vector<std::vector<std::int64_t>> shared;
  for (int i = 0; i < 3; ++i) {
    shared.push_back(make_timestamps(TimestampKind(random() % kTimestampKinds), samples, random));
  }
  for (std::size_t gpu = 0; gpu < gpus; ++gpu) {
    std::vector<TestColumn> columns;
    for (std::uint32_t metric = 0; metric < metrics; ++metric) {
      if (random() % 5 == 0) continue;
      auto timestamps = shared[random() % 3];
      if (random() % 4 == 0) {
        timestamps = make_timestamps(TimestampKind(random() % kTimestampKinds),
                                     1 + random() % samples, random);
      }
      auto values = make_values(ValueKind(random() % kValueKinds), timestamps.size(), random);
      columns.push_back({metric, std::move(timestamps), std::move(values)});
    }
    if (!columns.empty()) content.gpus[test_gpu(gpu)] = std::move(columns);
  }
  return content;
}

void put_checksum(std::string& bytes, std::size_t begin, std::size_t end) {
  const std::uint32_t checksum = io::crc32c(std::string_view(bytes).substr(begin, end - begin));
  std::memcpy(bytes.data() + end, &checksum, sizeof checksum);
}

constexpr std::size_t kFooter = 88;

std::uint64_t index_offset(const std::string& file) {
  return io::load_fixed<std::uint64_t>(file.data() + file.size() - kFooter);
}

// Whether the byte is of a column or of timestamps.
bool is_data(const std::string& file, std::size_t byte) {
  return byte >= 16 && byte < index_offset(file);
}

// The same without parity and with one footer.
std::string as_version_1(const std::string& file) {
  const std::size_t footer = file.size() - kFooter;
  const auto index_size = io::load_fixed<std::uint64_t>(file.data() + footer + 8);
  std::string old = file.substr(0, index_offset(file) + index_size) + file.substr(footer);
  old[8] = 1;
  put_checksum(old, 0, 12);
  old[old.size() - kFooter + 68] = 0;
  put_checksum(old, old.size() - kFooter, old.size() - kFooter + 76);
  return old;
}

// Reads everything. False, with an empty answer or a part of it, when the reader reports damage.
bool read_all(const SeriesFileReader& reader, TestFile& content) {
  content.metrics.assign(reader.metric_names().begin(), reader.metric_names().end());
  for (const GpuUuid& gpu : reader.gpus()) {
    for (const ColumnEntry& entry : reader.columns(gpu)) {
      TestColumn column;
      column.metric = entry.metric;
      if (!reader.read(entry, kAlways, kForever, column.timestamps, column.values)) return false;
      content.gpus[gpu].push_back(std::move(column));
    }
  }
  return true;
}

bool same_content(const TestFile& a, const TestFile& b) {
  if (a.metrics != b.metrics || a.gpus.size() != b.gpus.size()) return false;
  for (auto left = a.gpus.begin(), right = b.gpus.begin(); left != a.gpus.end(); ++left, ++right) {
    if (left->first != right->first || left->second.size() != right->second.size()) return false;
    for (std::size_t i = 0; i < left->second.size(); ++i) {
      const TestColumn& one = left->second[i];
      const TestColumn& other = right->second[i];
      if (one.metric != other.metric || one.timestamps != other.timestamps ||
          !same_bits(one.values, other.values)) {
        return false;
      }
    }
  }
  return true;
}

TEST(SeriesFile, KeepsManyGpusWithDifferentMetricsAndTimes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    io::SimulatedFileSystem files;
    const TestFile content = mixed_file(40, 12, 1 + seed * 37, seed);
    const auto reader = write_and_open(files, content);
    ASSERT_TRUE(reader);
    TestFile read;
    ASSERT_TRUE(read_all(*reader, read));
    EXPECT_TRUE(same_content(read, content));
    EXPECT_THAT(reader->verify(), testing::IsEmpty());
    for (const auto& [gpu, columns] : content.gpus) {
      for (std::uint32_t metric = 0; metric < content.metrics.size(); ++metric) {
        const auto found = reader->find_column(gpu, metric);
        const auto entries = reader->columns(gpu);
        const auto listed = std::ranges::find(entries, metric, &ColumnEntry::metric);
        ASSERT_EQ(found.has_value(), listed != entries.end());
        if (!found) continue;
        EXPECT_EQ(found->handle, listed->handle);
        EXPECT_EQ(found->samples, listed->samples);
      }
    }
    EXPECT_TRUE(reader->columns(test_gpu(999)).empty());
    EXPECT_FALSE(reader->find_column(test_gpu(999), 0));
  }
}

TEST(SeriesFile, GivesManyThreadsAtOnceTheSameAnswers) {
  io::SimulatedFileSystem files;
  const TestFile content = mixed_file(20, 10, 300, 77);
  const auto reader = write_and_open(files, content);
  ASSERT_TRUE(reader);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      TestFile read;
      right += read_all(*reader, read) && same_content(read, content) && reader->verify().empty();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 4);
}

void store(io::FileSystem& files, const std::string& path, std::string_view bytes) {
  if (files.exists(path).value()) {
    ASSERT_TRUE(files.remove(path));
  }
  auto file = files.open(path, io::OpenMode::kCreate);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->write_at(0, std::span(&bytes, 1)));
}

TEST(SeriesFile, ATruncatedFileIsNeverOpened) {
  io::SimulatedFileSystem files;
  const TestFile content = mixed_file(3, 6, 40, 3);
  ASSERT_TRUE(write_and_open(files, content));
  const auto whole = io::read_file(files, "/file", 1 << 20);
  ASSERT_TRUE(whole);
  for (std::size_t size = 0; size < whole->size(); ++size) {
    store(files, "/cut", std::string_view(*whole).substr(0, size));
    const auto reader = SeriesFileReader::open(files, "/cut");
    ASSERT_FALSE(reader) << size;
    EXPECT_EQ(reader.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(reader.error().message, testing::HasSubstr("/cut"));
  }
}

TEST(SeriesFile, AnyFlippedBitIsNoticedAndNeverGivesAWrongValue) {
  io::SimulatedFileSystem files;
  const TestFile content = mixed_file(3, 6, 40, 4);
  ASSERT_TRUE(write_and_open(files, content));
  const auto whole = io::read_file(files, "/file", 1 << 20);
  ASSERT_TRUE(whole);
  std::string bytes = *whole;
  std::size_t costly = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] = static_cast<char>((*whole)[i] ^ (1 << bit));
      store(files, "/flipped", bytes);
      const auto reader = SeriesFileReader::open(files, "/flipped");
      ASSERT_TRUE(reader) << reader.error();
      TestFile read;
      const bool all = read_all(**reader, read);
      ASSERT_EQ(all, !is_data(*whole, i)) << "byte " << i << " bit " << bit;
      costly += all ? 0 : 1;
      for (const auto& [gpu, columns] : read.gpus) {
        for (std::size_t k = 0; k < columns.size(); ++k) {
          ASSERT_TRUE(same_bits(columns[k].values, content.gpus.at(gpu)[k].values));
        }
      }
      ASSERT_THAT((*reader)->verify(), testing::SizeIs(testing::Ge(1))) << i << " " << bit;
    }
    bytes[i] = (*whole)[i];
  }
  EXPECT_GT(costly, 0);
}

TEST(SeriesFile, DamageToTheIndexIsNamedWhenItIsOpened) {
  io::SimulatedFileSystem files;
  const TestFile content = mixed_file(3, 6, 40, 4);
  ASSERT_TRUE(write_and_open(files, content));
  const auto whole = io::read_file(files, "/file", 1 << 20);
  files.damage("/file", index_offset(*whole) + 30, 4);
  const auto reader = SeriesFileReader::open(files, "/file");
  ASSERT_TRUE(reader) << reader.error();
  EXPECT_THAT((*reader)->damage(),
              testing::ElementsAre(testing::HasSubstr("/file: index: its checksum differs")));
  EXPECT_THAT((*reader)->verify(), testing::ElementsAreArray((*reader)->damage()));
}

TEST(SeriesFile, OneOfVersion1IsReadAndDamageToItsIndexIsFatal) {
  io::SimulatedFileSystem files;
  const TestFile content = mixed_file(3, 6, 40, 4);
  ASSERT_TRUE(write_and_open(files, content));
  std::string bytes = as_version_1(*io::read_file(files, "/file", 1 << 20));
  store(files, "/old", bytes);
  const auto reader = SeriesFileReader::open(files, "/old");
  ASSERT_TRUE(reader) << reader.error();
  EXPECT_EQ((*reader)->summary().version, 1U);
  TestFile read;
  EXPECT_TRUE(read_all(**reader, read));
  EXPECT_EQ(read.gpus.size(), content.gpus.size());
  EXPECT_THAT((*reader)->verify(), testing::IsEmpty());
  files.damage("/old", 3);
  const auto damaged = SeriesFileReader::open(files, "/old");
  ASSERT_TRUE(damaged) << damaged.error();
  const auto mended = (*damaged)->mend(files);
  EXPECT_TRUE(mended.written) << mended.written.error();
  EXPECT_THAT(mended.damage,
              testing::ElementsAre(testing::HasSubstr("/old: the header is damaged")));
  EXPECT_EQ(*io::read_file(files, "/old", 1 << 20), bytes);
  bytes[index_offset(bytes) + 30] ^= 4;
  store(files, "/old", bytes);
  EXPECT_EQ(SeriesFileReader::open(files, "/old").error().code, ErrorCode::kCorrupt);
}

TEST(SeriesFile, DamageNamesFileGpuAndMetricAndLeavesTheAnswerAlone) {
  io::SimulatedFileSystem files;
  ASSERT_TRUE(write_and_open(files, one_column({1000, 2000, 3000}, {1.5, 2.5, 7})));
  files.damage("/file", 17, 4);
  const auto reader = SeriesFileReader::open(files, "/file");
  ASSERT_TRUE(reader);
  std::vector<std::int64_t> timestamps = {1};
  std::vector<double> values = {2};
  const ColumnEntry entry = (*reader)->columns(test_gpu(1))[0];
  const auto read = (*reader)->read(entry, kAlways, kForever, timestamps, values);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(read.error().message, testing::StartsWith("file: "));
  EXPECT_THAT(read.error().message, testing::HasSubstr(test_gpu(1).to_string()));
  EXPECT_THAT(read.error().message, testing::HasSubstr("DCGM_FI_DEV_POWER_USAGE"));
  EXPECT_EQ(timestamps.size(), 1);
  EXPECT_EQ(values.size(), 1);
  std::vector<Bucket> buckets;
  EXPECT_FALSE((*reader)->aggregate(entry, kAlways, kForever, 1000, buckets));
  EXPECT_TRUE(buckets.empty());
  EXPECT_THAT((*reader)->verify(), testing::ElementsAre(read.error().message));
}

TEST(SeriesFile, AnotherVersionIsInvalidAndNotCorrupt) {
  io::SimulatedFileSystem files;
  ASSERT_TRUE(write_and_open(files, one_column({1000}, {1})));
  auto bytes = io::read_file(files, "/file", 1 << 20).value();
  bytes[8] = 9;
  put_checksum(bytes, 0, 12);
  store(files, "/newer", bytes);
  const auto reader = SeriesFileReader::open(files, "/newer");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(reader.error().message, testing::HasSubstr("version 9"));
}

TEST(SeriesFile, RefusesWhatBreaksTheContractAndNamesIt) {
  io::SimulatedFileSystem files;
  EXPECT_EQ(SeriesFileWriter::create(files, "/a", {"b", "a"}, {}).error().code,
            ErrorCode::kInvalid);
  auto writer = SeriesFileWriter::create(files, "/b", {"a", "b"}, {}).value();
  EXPECT_EQ(writer->finish().error().code, ErrorCode::kInvalid);
  const std::vector<std::int64_t> times = {1000, 2000};
  const std::vector<std::int64_t> equal_times = {1000, 1000};
  const std::vector<double> values = {1, 2};
  const std::vector<double> bad_values = {1, std::numeric_limits<double>::quiet_NaN()};
  const auto code = [&](std::vector<SeriesColumn> columns) {
    const auto added = writer->add_gpu(test_gpu(1), columns);
    return added ? ErrorCode::kInternal : added.error().code;
  };
  EXPECT_EQ(code({}), ErrorCode::kInvalid);
  EXPECT_EQ(code({{2, times, values}}), ErrorCode::kInvalid);
  EXPECT_EQ(code({{1, times, values}, {1, times, values}}), ErrorCode::kInvalid);
  EXPECT_EQ(code({{0, equal_times, values}}), ErrorCode::kInvalid);
  EXPECT_EQ(code({{0, {}, {}}}), ErrorCode::kInvalid);
  EXPECT_TRUE(writer->add_gpu(GpuUuid(GpuUuid::Kind::kGpu, {5}),
                              std::vector<SeriesColumn>{{0, times, values}}));
  EXPECT_FALSE(writer->add_gpu(GpuUuid(GpuUuid::Kind::kGpu, {5}),
                               std::vector<SeriesColumn>{{0, times, values}}));
  EXPECT_FALSE(writer->add_gpu(GpuUuid(GpuUuid::Kind::kGpu, {4}),
                               std::vector<SeriesColumn>{{0, times, values}}));
  EXPECT_FALSE(writer->add_gpu(GpuUuid(GpuUuid::Kind::kGpu, {6}),
                               std::vector<SeriesColumn>{{0, times, bad_values}}));
  EXPECT_FALSE(writer->finish());
}

TEST(SeriesFile, ReportsAFullDiskAndAFailedSync) {
  io::SimulatedFileSystem files;
  files.set_free_space(100);
  EXPECT_EQ(write_test_file(files, "/a", mixed_file(3, 6, 40, 3)).error().code, ErrorCode::kFull);
  io::SimulatedFileSystem others;
  others.fail_sync(1);
  EXPECT_EQ(write_test_file(others, "/a", mixed_file(3, 6, 40, 3)).error().code,
            ErrorCode::kUnavailable);
}

TEST(SeriesFile, HoldsAHundredThousandSeries) {
  io::SimulatedFileSystem files;
  auto writer =
      SeriesFileWriter::create(files, "/big", {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"},
                               from_unix_milliseconds(kTestStart))
          .value();
  std::vector<std::int64_t> times;
  for (int i = 0; i < 12; ++i) times.push_back(kTestStart + i * 10'000);
  std::vector<std::vector<double>> values(10);
  constexpr std::uint32_t kGpus = 10'000;
  const auto gpu_of = [](std::uint32_t i) {
    return GpuUuid(GpuUuid::Kind::kGpu,
                   {static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)});
  };
  const auto value_of = [](std::uint32_t gpu, std::uint32_t metric, std::uint32_t i) {
    return static_cast<double>((gpu * 31 + metric * 7 + i * (metric % 3)) % 1000);
  };
  for (std::uint32_t gpu = 0; gpu < kGpus; ++gpu) {
    std::vector<SeriesColumn> columns;
    for (std::uint32_t metric = 0; metric < 10; ++metric) {
      values[metric].clear();
      for (std::uint32_t i = 0; i < 12; ++i) values[metric].push_back(value_of(gpu, metric, i));
      columns.push_back({metric, times, values[metric]});
    }
    ASSERT_TRUE(writer->add_gpu(gpu_of(gpu), columns));
  }
  const auto summary = writer->finish();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->series, 100'000);
  EXPECT_LE(static_cast<double>(summary->file_bytes) / static_cast<double>(summary->samples), 1.5);
  const auto reader = SeriesFileReader::open(files, "/big").value();
  for (std::uint32_t gpu = 0; gpu < kGpus; gpu += 37) {
    for (const ColumnEntry& entry : reader->columns(gpu_of(gpu))) {
      std::vector<std::int64_t> timestamps;
      std::vector<double> read;
      ASSERT_TRUE(reader->read(entry, kAlways, kForever, timestamps, read));
      ASSERT_EQ(timestamps, times);
      for (std::uint32_t i = 0; i < 12; ++i) ASSERT_EQ(read[i], value_of(gpu, entry.metric, i));
    }
  }
  EXPECT_THAT(reader->verify(), testing::IsEmpty());
}

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
