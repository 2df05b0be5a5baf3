#include "io/bytes.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace gpu_telemetry::io {
namespace {

TEST(Bytes, VarintsOfEveryLengthComeBack) {
  for (int bits = 0; bits < 64; ++bits) {
    for (const std::uint64_t value : {(std::uint64_t{1} << bits) - 1, std::uint64_t{1} << bits}) {
      std::string bytes;
      append_varint(bytes, value);
      ByteReader reader(bytes);
      EXPECT_EQ(reader.varint(), value);
      EXPECT_TRUE(reader.ok());
      EXPECT_EQ(reader.remaining(), 0U);
    }
  }
}

TEST(Bytes, ZigzagKeepsSmallNumbersSmallAndLosesNone) {
  EXPECT_EQ(zigzag(0), 0U);
  EXPECT_EQ(zigzag(-1), 1U);
  EXPECT_EQ(zigzag(1), 2U);
  for (const std::int64_t value : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-5},
                                   std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(unzigzag(zigzag(value)), value);
  }
}

TEST(Bytes, AVarintPast64BitsFailsTheReader) {
  ByteReader reader("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
  EXPECT_EQ(reader.varint(), 0U);
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, AReaderThatFailedStaysFailedAndReadsNothing) {
  ByteReader reader("abc");
  EXPECT_EQ(reader.fixed<std::uint16_t>(), 0x6261);
  EXPECT_EQ(reader.fixed<std::uint32_t>(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.bytes(1), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, ALengthBeyondTheEndReadsNothing) {
  std::string bytes;
  append_varint(bytes, std::numeric_limits<std::uint64_t>::max());
  bytes += "text";
  ByteReader reader(bytes);
  EXPECT_EQ(reader.sized_bytes(), "");
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace gpu_telemetry::io
