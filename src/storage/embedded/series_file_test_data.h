// Columns of every kind for the tests and benchmarks of series files.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "domain/gpu_uuid.h"
#include "storage/embedded/series_file.h"

namespace gpu_telemetry::storage::embedded {

inline constexpr std::int64_t kTestStart = 1'752'870'000'000;

struct TestColumn {
  std::uint32_t metric = 0;
  std::vector<std::int64_t> timestamps;
  std::vector<double> values;
};

struct TestFile {
  std::vector<std::string> metrics;
  std::map<GpuUuid, std::vector<TestColumn>> gpus;  // columns in ascending order of metric
};

inline GpuUuid test_gpu(std::uint64_t number) {
  std::array<std::uint8_t, 16> bytes{};
  std::mt19937_64 random(number);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return GpuUuid(number % 7 == 3 ? GpuUuid::Kind::kMig : GpuUuid::Kind::kGpu, bytes);
}

inline Result<SeriesFileSummary> write_test_file(io::FileSystem& files, const std::string& path,
                                                 const TestFile& content) {
  auto writer = SeriesFileWriter::create(files, path, content.metrics,
                                         from_unix_milliseconds(kTestStart + 1));
  if (!writer) return writer.error();
  for (const auto& [gpu, columns] : content.gpus) {
    std::vector<SeriesColumn> views;
    for (const TestColumn& column : columns) {
      views.push_back({column.metric, column.timestamps, column.values});
    }
    if (Result<void> added = (*writer)->add_gpu(gpu, views); !added) return added.error();
  }
  return (*writer)->finish();
}

// The kinds of values that columns are made of.
enum class ValueKind {
  kConstant,
  kSmallIntegers,
  kSlowIntegers,
  kSteps,
  kMultiples,
  kHundredths,
  kMilliwatts,
  kEnergyCounter,
  kSteadyCounter,
  kMixedExponents,
  kRandomDoubles,
  kNegativeZeros,
  kNotQuiteDecimal,
  kHuge,
  kTiny,
  kHugeIntegers,
  kMostlyDecimal,
  kAnyBits,
};
inline constexpr int kValueKinds = 18;

template <class Random>
std::vector<double> make_values(ValueKind kind, std::size_t count, Random& random) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  const auto any_double = [&] {
    double value;
    do {
      const std::uint64_t raw = random();
      std::memcpy(&value, &raw, sizeof value);
    } while (!std::isfinite(value));
    return value;
  };
  std::vector<double> values(count);
  std::int64_t walk = below(100'000);
  const double fixed = std::vector<double>{0, -0.0, 42, 0.1, 1e300, 5e-324}[random() % 6];
  for (double& value : values) {
    switch (kind) {
      case ValueKind::kConstant:
        value = fixed;
        break;
      case ValueKind::kSmallIntegers:
        value = static_cast<double>(below(101));
        break;
      case ValueKind::kSlowIntegers:
        value = static_cast<double>(walk += below(3) - 1);
        break;
      case ValueKind::kSteps:
        if (below(60) == 0) walk = below(81'000);
        value = static_cast<double>(walk);
        break;
      case ValueKind::kMultiples:
        value = static_cast<double>(15 * (below(120) - 10));
        break;
      case ValueKind::kHundredths:
        value = static_cast<double>(below(10'000)) / 100;
        break;
      case ValueKind::kMilliwatts:
        value = static_cast<double>(300'000 + below(40'000)) / 1000;
        break;
      case ValueKind::kEnergyCounter:
        value = static_cast<double>(walk += 3'000'000 + below(100'000));
        break;
      case ValueKind::kSteadyCounter:
        value = static_cast<double>(walk += 1000);
        break;
      case ValueKind::kMixedExponents:
        value =
            static_cast<double>(below(1'000'000)) / std::pow(10.0, static_cast<double>(below(7)));
        break;
      case ValueKind::kRandomDoubles:
        value = std::ldexp(static_cast<double>(random() >> 11), -53);
        break;
      case ValueKind::kNegativeZeros:
        value = below(2) == 0 ? -0.0 : static_cast<double>(below(3) - 1);
        break;
      case ValueKind::kNotQuiteDecimal:
        value = 0.1 * static_cast<double>(below(10)) + 0.2;
        break;
      case ValueKind::kHuge:
        value = std::ldexp(static_cast<double>(below(1 << 30)) - (1 << 29), 900);
        break;
      case ValueKind::kTiny:
        value = std::ldexp(static_cast<double>(below(1 << 20)), -1074);
        break;
      case ValueKind::kHugeIntegers:
        value = std::ldexp(static_cast<double>(random() >> 11), 10) * (below(2) == 0 ? 1 : -1);
        break;
      case ValueKind::kMostlyDecimal:
        value = below(200) == 0 ? 0.1 + 0.2 : static_cast<double>(below(1000)) / 10;
        break;
      case ValueKind::kAnyBits:
        value = any_double();
        break;
    }
  }
  return values;
}

enum class TimestampKind { kRegular, kJitter, kDrift, kSeconds, kGaps, kSparse };
inline constexpr int kTimestampKinds = 6;

template <class Random>
std::vector<std::int64_t> make_timestamps(TimestampKind kind, std::size_t count, Random& random) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  std::vector<std::int64_t> timestamps(count);
  std::int64_t time = kTestStart + below(10'000);
  for (std::size_t i = 0; i < count; ++i) {
    switch (kind) {
      case TimestampKind::kRegular:
        timestamps[i] = kTestStart + static_cast<std::int64_t>(i) * 10'000;
        break;
      case TimestampKind::kJitter:
        timestamps[i] = kTestStart + static_cast<std::int64_t>(i) * 10'000 + below(200);
        break;
      case TimestampKind::kDrift:
        timestamps[i] = time += 10'000 + below(20);
        break;
      case TimestampKind::kSeconds:
        timestamps[i] = kTestStart + (static_cast<std::int64_t>(i) * 10 + below(4)) * 1000;
        break;
      case TimestampKind::kGaps:
        timestamps[i] = time += below(40) == 0 ? 3'600'000 : 10'000;
        break;
      case TimestampKind::kSparse:
        timestamps[i] = time += 1 + below(std::uint64_t{1} << below(40));
        break;
    }
  }
  return timestamps;
}

}  // namespace gpu_telemetry::storage::embedded
