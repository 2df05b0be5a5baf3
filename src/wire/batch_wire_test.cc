#include "wire/batch_wire.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>
#include <thread>

#include "domain/metric_catalogue.h"
#include "io/bytes.h"
#include "io/crc32c.h"
#include "wire/synthetic_batch.h"

namespace gpu_telemetry::wire {
namespace {

std::string encoded(const TelemetryBatch& batch) {
  std::string bytes = "whatever was there before";
  batch_codec().encode(batch, bytes);
  return bytes;
}

// Equal bit for bit: 0.0 and -0.0 are different values here.
void expect_same(const TelemetryBatch& actual, const TelemetryBatch& expected) {
  ASSERT_EQ(actual.gpus.size(), expected.gpus.size());
  for (std::size_t i = 0; i < actual.gpus.size(); ++i) {
    ASSERT_EQ(*actual.gpus[i], *expected.gpus[i]) << "GPU " << i;
  }
  ASSERT_EQ(actual.metrics, expected.metrics);
  ASSERT_EQ(actual.scrapes, expected.scrapes);
  ASSERT_EQ(actual.samples.size(), expected.samples.size());
  for (std::size_t i = 0; i < actual.samples.size(); ++i) {
    ASSERT_EQ(actual.samples[i].metric, expected.samples[i].metric) << "sample " << i;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(actual.samples[i].value),
              std::bit_cast<std::uint64_t>(expected.samples[i].value))
        << "sample " << i << ": " << actual.samples[i].value << " for "
        << expected.samples[i].value;
  }
}

void expect_round_trip(const TelemetryBatch& batch) {
  TelemetryBatch decoded = synthetic_pass(3);  // what was there before must not shine through
  const auto result = batch_codec().decode(encoded(batch), decoded);
  ASSERT_TRUE(result) << result.error();
  expect_same(decoded, batch);
}

std::string random_text(std::mt19937_64& random) {
  static const char* const kTexts[] = {"",
                                       "a",
                                       "nvidia0",
                                       "nvidia007",
                                       "0",
                                       "17",
                                       "-1",
                                       "host-1",
                                       "host-1:9400",
                                       "host-12",
                                       "NVIDIA A100-SXM4-40GB"};
  if (random() % 4 != 0) return kTexts[random() % std::size(kTexts)];
  std::string text(random() % 300, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

double random_value(std::mt19937_64& random) {
  switch (random() % 12) {
    case 0:
      return 0.0;
    case 1:
      return -0.0;
    case 2:
      return static_cast<double>(random() % 100);
    case 3:
      return static_cast<double>(random() % 1'000'000) / 1000;
    case 4:
      return -static_cast<double>(random() % 1'000'000) / 100'000;
    case 5:
      return std::numeric_limits<double>::denorm_min() * static_cast<double>(random() % 5);
    case 6:
      return static_cast<double>(random());
    case 7:
      return static_cast<double>(static_cast<std::int64_t>(random()));
    case 8:
      return std::numeric_limits<double>::max();
    case 9:
      return static_cast<double>(random() % 10) * 1e-13;
    default: {
      const double value = std::bit_cast<double>(random());
      return std::isfinite(value) ? value : 1.0;
    }
  }
}

GpuPointer random_gpu(std::mt19937_64& random, int likeness) {
  auto gpu = std::make_shared<Gpu>();
  gpu->uuid = random_uuid(random, random() % 3 ? GpuUuid::Kind::kGpu : GpuUuid::Kind::kMig);
  const auto number = std::to_string(random() % 9);
  gpu->device_id = likeness > 0 ? "nvidia" + number : random_text(random);
  gpu->gpu_index = likeness > 1   ? number
                   : likeness > 0 ? std::to_string(random() % 20)
                                  : random_text(random);
  gpu->model_name = random_text(random);
  gpu->hostname = random_text(random);
  gpu->attribution = {random_text(random), random_text(random), random_text(random)};
  for (std::size_t i = random() % 4; i > 0; --i) {
    gpu->labels.emplace_back(
        "label_" + std::to_string(9 - i),
        random() % 2 ? gpu->hostname + random_text(random) : random_text(random));
  }
  return gpu;
}

TelemetryBatch random_batch(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  TelemetryBatch batch;
  const int likeness = static_cast<int>(random() % 3);
  const std::size_t gpus = 1 + random() % 20;
  for (std::size_t i = 0; i < gpus; ++i) batch.gpus.push_back(random_gpu(random, likeness));
  const std::size_t metrics = 1 + random() % 12;
  for (std::size_t i = 0; i < metrics; ++i) batch.metrics.push_back("metric:" + std::to_string(i));
  const bool alike = random() % 2;  // all values of one kind, as in life
  const std::uint64_t kind = random();
  std::int64_t time = unix_milliseconds(kEarliestTimestamp);
  for (std::size_t scrapes = random() % 100; scrapes > 0; --scrapes) {
    if (random() % 3 == 0) time += static_cast<std::int64_t>(random() % 100'000);
    if (random() % 50 == 0) time += static_cast<std::int64_t>(random() % (1ULL << 60));
    if (time < 0) time = unix_milliseconds(kEarliestTimestamp);
    const auto samples = static_cast<std::uint32_t>(random() % 12);
    batch.scrapes.push_back({static_cast<std::uint32_t>(random() % gpus),
                             static_cast<std::uint32_t>(batch.samples.size()), samples,
                             from_unix_milliseconds(time)});
    for (std::uint32_t i = 0; i < samples; ++i) {
      std::mt19937_64 same_kind(kind + (random() % 2) * 977);
      batch.samples.push_back({static_cast<std::uint32_t>(random() % metrics),
                               random_value(alike ? same_kind : random)});
    }
  }
  return batch;
}

// Replaces the checksum, so that decoding meets what is behind it.
std::string sealed(std::string bytes) {
  bytes.resize(bytes.size() - 4);
  io::append_fixed(bytes, io::crc32c(bytes));
  return bytes;
}

TEST(BatchWire, RandomBatchesComeBackBitForBit) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    expect_round_trip(random_batch(seed));
    if (HasFatalFailure()) return;
  }
}

TEST(BatchWire, PassesOfAFleetComeBack) {
  for (const std::size_t gpus : {1, 8, 100, 247}) {
    for (std::size_t timestamps = 1; timestamps <= 4; ++timestamps) {
      expect_round_trip(synthetic_pass(gpus, timestamps));
    }
  }
}

TEST(BatchWire, AnEmptyBatchComesBack) { expect_round_trip({}); }

TEST(BatchWire, ManyScrapesOfOneGpuComeBackSmall) {
  TelemetryBatch batch = synthetic_pass(1, 1);
  const auto samples = batch.samples;
  for (std::uint32_t i = 1; i < 400; ++i) {
    Scrape scrape = batch.scrapes.front();
    scrape.timestamp += std::chrono::seconds{10 * i};
    scrape.first_sample = static_cast<std::uint32_t>(batch.samples.size());
    batch.scrapes.push_back(scrape);
    batch.samples.insert(batch.samples.end(), samples.begin(), samples.end());
  }
  expect_round_trip(batch);
  EXPECT_LT(encoded(batch).size(), 600U);
}

TEST(BatchWire, AThousandRowsTakeAtMostFourBytesASample) {
  for (std::size_t timestamps = 1; timestamps <= 4; ++timestamps) {
    const TelemetryBatch batch = synthetic_pass(100, timestamps);
    EXPECT_LE(encoded(batch).size(), 4 * batch.samples.size());
  }
}

TEST(BatchWire, AWholePassTakesAtMostThreeBytesASample) {
  const TelemetryBatch batch = synthetic_pass(247);
  EXPECT_LE(encoded(batch).size(), 3 * batch.samples.size());
}

TEST(BatchWire, EveryTruncationIsCorrupt) {
  const std::string bytes = encoded(synthetic_pass(20));
  TelemetryBatch decoded;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto result = batch_codec().decode(std::string_view(bytes).substr(0, size), decoded);
    ASSERT_FALSE(result) << size;
    ASSERT_EQ(result.error().code, ErrorCode::kCorrupt);
    ASSERT_NE(result.error().message.find("byte "), std::string::npos) << result.error();
  }
}

TEST(BatchWire, EveryFlippedBitIsCorrupt) {
  std::string bytes = encoded(synthetic_pass(20));
  TelemetryBatch decoded;
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto flip = [&] {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    };
    flip();
    const auto result = batch_codec().decode(bytes, decoded);
    ASSERT_FALSE(result) << bit;
    ASSERT_EQ(result.error().code, ErrorCode::kCorrupt) << bit;
    flip();
  }
}

// What decode accepts obeys every invariant, even when a forger fixed the checksum.
void expect_invariants(const TelemetryBatch& batch) {
  std::uint32_t next = 0;
  for (const Scrape& scrape : batch.scrapes) {
    ASSERT_LT(scrape.gpu, batch.gpus.size());
    ASSERT_EQ(scrape.first_sample, next);
    ASSERT_GE(scrape.timestamp, kEarliestTimestamp);
    next += scrape.sample_count;
  }
  ASSERT_EQ(next, batch.samples.size());
  for (const Sample& sample : batch.samples) {
    ASSERT_LT(sample.metric, batch.metrics.size());
    ASSERT_TRUE(std::isfinite(sample.value));
  }
  for (const std::string& metric : batch.metrics) ASSERT_TRUE(is_valid_metric_name(metric));
  for (const GpuPointer& gpu : batch.gpus) {
    for (std::size_t i = 1; i < gpu->labels.size(); ++i) {
      ASSERT_LT(gpu->labels[i - 1].first, gpu->labels[i].first);
    }
  }
}

TEST(BatchWire, AForgedMessageNeverGivesABatchThatBreaksTheRules) {
  std::mt19937_64 random(5);
  TelemetryBatch decoded;
  std::vector<std::string> messages;
  for (std::uint64_t seed = 0; seed < 40; ++seed) messages.push_back(encoded(random_batch(seed)));
  int accepted = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bytes = messages[static_cast<std::size_t>(round) % messages.size()];
    for (std::size_t edits = 1 + random() % 3; edits > 0; --edits) {
      bytes[5 + random() % (bytes.size() - 5)] = static_cast<char>(random());
    }
    if (batch_codec().decode(sealed(bytes), decoded)) {
      ++accepted;
      expect_invariants(decoded);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(accepted, 0) << "some edits only change a value";
}

TEST(BatchWire, AForgedTruncationIsCorruptToo) {
  const std::string bytes = encoded(synthetic_pass(5));
  TelemetryBatch decoded;
  for (std::size_t size = 9; size < bytes.size(); ++size) {
    ASSERT_FALSE(batch_codec().decode(sealed(bytes.substr(0, size)), decoded)) << size;
  }
}

TEST(BatchWire, BytesAfterTheEndAreCorrupt) {
  std::string bytes = encoded(synthetic_pass(5));
  bytes.insert(bytes.size() - 4, 1, '\0');
  TelemetryBatch decoded;
  const auto result = batch_codec().decode(sealed(bytes), decoded);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("goes on after its end"), std::string::npos);
}

TEST(BatchWire, ANewerVersionIsNamed) {
  std::string bytes = encoded(synthetic_pass(1));
  bytes[4] = 2;
  TelemetryBatch decoded;
  const auto result = batch_codec().decode(sealed(bytes), decoded);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
  EXPECT_NE(result.error().message.find("version 2"), std::string::npos);
}

TEST(BatchWire, MetricsOfWrongNamesAreRefused) {
  for (const auto& [first, second] :
       {std::pair<std::string, std::string>{"same", "same"}, {"bad name", "x"}, {"", "x"}}) {
    TelemetryBatch batch;
    batch.metrics = {first, second};
    TelemetryBatch decoded;
    const auto result = batch_codec().decode(encoded(batch), decoded);
    ASSERT_FALSE(result) << first;
    EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
  }
  for (const MetricDefinition& metric : metric_definitions()) {
    if (metric.name == metric.current_name) continue;
    TelemetryBatch batch;
    batch.metrics = {std::string(metric.current_name)};
    TelemetryBatch decoded;
    EXPECT_FALSE(batch_codec().decode(encoded(batch), decoded)) << metric.current_name;
    break;
  }
}

TEST(BatchWire, ValuesThatAreNoNumbersAreRefused) {
  for (const double value :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    TelemetryBatch batch = synthetic_pass(2);
    batch.samples[3].value = value;
    TelemetryBatch decoded;
    EXPECT_FALSE(batch_codec().decode(encoded(batch), decoded));
  }
}

TEST(BatchWire, TheSameFleetDecodedTwiceSharesItsGpus) {
  const std::string bytes = encoded(synthetic_pass(50));
  TelemetryBatch first;
  TelemetryBatch second;
  ASSERT_TRUE(batch_codec().decode(bytes, first));
  ASSERT_TRUE(batch_codec().decode(bytes, second));
  EXPECT_EQ(first.gpus, second.gpus);
}

TEST(BatchWire, ThreadsDecodeAndEncodeBesideEachOther) {
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([seed] {
      for (std::uint64_t round = 0; round < 40; ++round) {
        const TelemetryBatch batch = synthetic_pass(10, 1 + (seed + round) % 4, round % 3);
        TelemetryBatch decoded;
        ASSERT_TRUE(batch_codec().decode(encoded(batch), decoded));
        expect_same(decoded, batch);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gpu_telemetry::wire
