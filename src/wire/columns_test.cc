#include "wire/columns.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace gpu_telemetry::wire {
namespace {

std::vector<std::int64_t> integers_back(const std::string& bytes, std::size_t count) {
  ColumnScratch scratch;
  io::ByteReader reader(bytes);
  std::vector<std::int64_t> values(count);
  EXPECT_TRUE(read_integers(reader, values, scratch));
  EXPECT_EQ(reader.remaining(), 0U);
  return values;
}

ColumnKind kind_of(const std::string& bytes) { return static_cast<ColumnKind>(bytes[0] & 0x0f); }

std::string integers(const std::vector<std::int64_t>& values) {
  ColumnScratch scratch;
  std::string bytes;
  append_integers(bytes, values, scratch);
  return bytes;
}

std::string doubles(const std::vector<double>& values) {
  ColumnScratch scratch;
  std::string bytes;
  append_doubles(bytes, values, scratch);
  return bytes;
}

TEST(Columns, EveryWidthComesBack) {
  std::mt19937_64 random(3);
  for (int width = 0; width <= 64; ++width) {
    for (const std::size_t count : {1, 2, 7, 8, 9, 63, 64, 65, 300}) {
      std::vector<std::int64_t> values(count);
      for (auto& value : values) {
        value = static_cast<std::int64_t>(width == 0 ? 0 : random() >> (64 - width));
      }
      EXPECT_EQ(integers_back(integers(values), count), values) << width << " bits x " << count;
    }
  }
}

TEST(Columns, TheExtremesOfAnIntegerComeBack) {
  const std::vector<std::int64_t> values = {std::numeric_limits<std::int64_t>::min(), 0,
                                            std::numeric_limits<std::int64_t>::max(), -1};
  EXPECT_EQ(integers_back(integers(values), 4), values);
}

TEST(Columns, TakeTheSmallestKind) {
  EXPECT_EQ(kind_of(integers({5, 5, 5})), ColumnKind::kConstant);
  EXPECT_EQ(kind_of(integers({1'000'000, 1'000'001, 1'000'002, 1'000'003})), ColumnKind::kDelta);
  std::vector<std::int64_t> few(200);
  std::vector<std::int64_t> many(200);
  std::mt19937_64 random(3);
  for (auto& value : few) value = random() % 2 ? 345 : 1980;
  for (auto& value : many) value = static_cast<std::int64_t>(random() % 100'000);
  EXPECT_EQ(kind_of(integers(few)), ColumnKind::kDictionary);
  EXPECT_EQ(kind_of(integers(many)), ColumnKind::kPacked);
  EXPECT_EQ(integers_back(integers(few), few.size()), few);
}

TEST(Columns, DecimalsAreScaledOnlyWhereThatIsExact) {
  EXPECT_EQ(doubles({156.596, 117.77, 71.483})[0] & 0xf0, 0x30);
  EXPECT_EQ(kind_of(doubles({156.596, 117.77, 71.483})), ColumnKind::kPacked);
  EXPECT_EQ(kind_of(doubles({0.1 + 0.2, 1})), ColumnKind::kRaw);
  EXPECT_EQ(kind_of(doubles({-0.0, 1})), ColumnKind::kRaw);
  EXPECT_EQ(kind_of(doubles({1e17, 1e17 + 1024})), ColumnKind::kPacked);
}

TEST(Columns, ARawNumberThatIsNotFiniteIsRefused) {
  std::string bytes = doubles({0.1 + 0.2, 1});
  const double bad = std::numeric_limits<double>::infinity();
  std::memcpy(bytes.data() + 1, &bad, sizeof bad);
  ColumnScratch scratch;
  io::ByteReader reader(bytes);
  std::vector<double> values(2);
  EXPECT_FALSE(read_doubles(reader, values, scratch));
}

TEST(Columns, AnIndexPastTheDictionaryIsRefused) {
  // Three numbers, so indices of two bits, and one of them is 3.
  const std::string bytes("\x02\x03\x00\x01\x05\xff", 6);
  ColumnScratch scratch;
  io::ByteReader reader(bytes);
  std::vector<std::int64_t> values(4);
  EXPECT_FALSE(read_integers(reader, values, scratch));
}

TEST(Columns, AWidthPast56BitsIsRefused) {
  const std::string bytes = std::string("\x01\x00\x39", 3) + std::string(100, '\0');
  ColumnScratch scratch;
  io::ByteReader reader(bytes);
  std::vector<std::int64_t> values(4);
  EXPECT_FALSE(read_integers(reader, values, scratch));
}

}  // namespace
}  // namespace gpu_telemetry::wire
