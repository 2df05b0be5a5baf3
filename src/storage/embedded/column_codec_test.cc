#include "storage/embedded/column_codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "storage/embedded/series_file_test_data.h"

namespace gpu_telemetry::storage::embedded {
namespace {

TEST(BitPacking, EveryWidthAndCountComesBackAndTakesNoByteMore) {
  std::mt19937_64 random(1);
  for (unsigned width = 0; width <= 64; ++width) {
    for (const std::size_t count : {1, 2, 7, 63, 64, 65, 127, 128}) {
      std::vector<std::uint64_t> values(count);
      for (auto& value : values) value = width == 0 ? 0 : random() >> (64 - width);
      std::string bytes = "x";
      pack(values.data(), count, width, bytes);
      ASSERT_EQ(bytes.size(), 1 + packed_size(count, width));
      // A copy of just that size, so that the address sanitizer sees a read too far.
      const std::vector<char> exact(bytes.begin() + 1, bytes.end());
      std::vector<std::uint64_t> unpacked(count);
      unpack(exact.data(), count, width, 5, unpacked.data());
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(unpacked[i], values[i] + 5);
    }
  }
}

TEST(IntegerScaling, BothWaysRoundAsDivisionDoes) {
  if (!scaling::has_fma()) GTEST_SKIP() << "needs a processor with AVX2 and FMA";
  std::mt19937_64 random(2);
  std::vector<std::int64_t> integers(4099);
  std::vector<double> one(integers.size());
  std::vector<double> other(integers.size());
  for (int round = 0; round < 100; ++round) {
    for (auto& integer : integers) {
      integer = static_cast<std::int64_t>(random()) >> (random() % 64);
    }
    for (unsigned exponent = 0; exponent <= kMaxExponent; ++exponent) {
      scaling::scale_integers_baseline(integers.data(), integers.size(), exponent, one.data());
      scaling::scale_integers_fma(integers.data(), integers.size(), exponent, other.data());
      ASSERT_EQ(std::memcmp(one.data(), other.data(), 8 * one.size()), 0) << exponent;
    }
  }
}

TEST(ColumnCodec, KeysOfDoublesAreInTheOrderOfTheDoubles) {
  const double ordered[] = {-1e308, -2, -1, -5e-324, -0.0, 0.0, 5e-324, 0.1, 1, 2, 1e308};
  for (std::size_t i = 0; i < std::size(ordered); ++i) {
    const double back = key_to_double(double_to_key(ordered[i]));
    EXPECT_EQ(std::memcmp(&back, &ordered[i], sizeof back), 0);
    if (i != 0) {
      EXPECT_LT(double_to_key(ordered[i - 1]), double_to_key(ordered[i]));
    }
  }
}

std::size_t encoded_size(const std::vector<double>& values) {
  ColumnEncoder encoder;
  std::string bytes;
  EXPECT_TRUE(encoder.encode(values, bytes));
  return bytes.size();
}

TEST(ColumnCodec, TakesTheCodingThatFitsTheKindOfValues) {
  std::mt19937_64 random(3);
  const auto size = [&](ValueKind kind) { return encoded_size(make_values(kind, 128, random)); };
  EXPECT_LE(size(ValueKind::kSteadyCounter), 16);            // a line takes no bits
  EXPECT_LE(size(ValueKind::kSteps), 60);                    // runs
  EXPECT_LE(size(ValueKind::kMultiples), 128 * 7 / 8 + 10);  // 120 multiples of 15
  EXPECT_LE(size(ValueKind::kEnergyCounter), 128 * 17 / 8 + 30);
  EXPECT_LE(size(ValueKind::kRandomDoubles), 128 * 8 + 30);
}

TEST(ColumnCodec, DamagedBytesDecodeToAnythingButNeverCrash) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t count = 1 + random() % 300;
    ColumnEncoder encoder;
    std::string bytes;
    ASSERT_TRUE(
        encoder.encode(make_values(ValueKind(random() % kValueKinds), count, random), bytes));
    for (int flips = 0; flips < 3; ++flips) {
      bytes[random() % std::min<std::size_t>(bytes.size(), 40)] ^= static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const std::vector<char> exact(bytes.begin(), bytes.end());
    EncodedColumn column;
    if (!parse_column({exact.data(), exact.size()}, count, column).empty()) continue;
    std::vector<double> values(count);
    decode_values(column, 0, count, values.data());
    for (const Group& group : column.groups) (void)statistics_hold(group);
  }
}

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
