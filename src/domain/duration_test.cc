#include "domain/duration.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace gpu_telemetry {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(Duration, IsReadAsGoWritesIt) {
  EXPECT_EQ(*parse_duration("100ms"), 100ms);
  EXPECT_EQ(*parse_duration("1.5h"), 90min);
  EXPECT_EQ(*parse_duration("1h30m"), 90min);
  EXPECT_EQ(*parse_duration("2h45m30.5s"), 2h + 45min + 30500ms);
  EXPECT_EQ(*parse_duration("30d"), 720h);
  EXPECT_EQ(*parse_duration("7us"), 7us);
  EXPECT_EQ(*parse_duration("7\xC2\xB5s"), 7us);
  EXPECT_EQ(*parse_duration("7\xCE\xBCs"), 7us);
  EXPECT_EQ(*parse_duration("12ns"), 12ns);
  EXPECT_EQ(*parse_duration("0"), 0ns);
  EXPECT_EQ(*parse_duration("0s"), 0ns);
  EXPECT_EQ(*parse_duration(".5s"), 500ms);
  EXPECT_EQ(*parse_duration("5.s"), 5s);
}

TEST(Duration, IsExact) {
  EXPECT_EQ(*parse_duration("9223372036854775807ns"), nanoseconds::max());
  EXPECT_EQ(*parse_duration("106751d23h47m16.854775807s"), nanoseconds::max());
  EXPECT_EQ(*parse_duration("9007199.254740993s"), nanoseconds{9'007'199'254'740'993});
  EXPECT_EQ(*parse_duration("0.000000001s"), 1ns);
  EXPECT_EQ(*parse_duration("0.4ns"), 0ns);
  EXPECT_EQ(*parse_duration("0.5ns"), 1ns);
  EXPECT_EQ(*parse_duration("0.1000000000000000000000000001s"), 100ms);
}

TEST(Duration, MalformedTextIsNamedWithTheAcceptedForm) {
  for (const char* text :
       {"", "5", "s", "-1s", "+1s", "1 s", "1.2.3s", ".s", "1e3s", "1S", "1hh", "1h30",
        "9223372036854775808ns", "106752d", "99999999999999999999s", "18446744073709551615d"}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(duration.error().code, ErrorCode::kInvalid);
    EXPECT_NE(duration.error().message.find('\'' + std::string(text) + '\''), std::string::npos);
    EXPECT_NE(duration.error().message.find("100ms"), std::string::npos);
  }
}

TEST(Duration, IsWrittenInFewUnits) {
  EXPECT_EQ(format_duration(0ns), "0s");
  EXPECT_EQ(format_duration(100ms), "100ms");
  EXPECT_EQ(format_duration(90min), "1h30m");
  EXPECT_EQ(format_duration(720h), "30d");
  EXPECT_EQ(format_duration(1500ms), "1.5s");
  EXPECT_EQ(format_duration(1s + 1ns), "1.000000001s");
  EXPECT_EQ(format_duration(61s), "1m1s");
  EXPECT_EQ(format_duration(1250ns), "1.25us");
  EXPECT_EQ(format_duration(-90min), "-1h30m");
  EXPECT_EQ(format_duration(nanoseconds::min()), "-106751d23h47m16.854775808s");
}

TEST(Duration, WhatIsWrittenIsReadBack) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const nanoseconds duration{static_cast<std::int64_t>(random() >> (1 + random() % 63))};
    ASSERT_EQ(*parse_duration(format_duration(duration)), duration) << format_duration(duration);
  }
}

TEST(ByteSize, IsReadInPowersOf1024AndOf1000) {
  EXPECT_EQ(*parse_byte_size("1000"), ByteSize{1000});
  EXPECT_EQ(*parse_byte_size("0"), ByteSize{0});
  EXPECT_EQ(*parse_byte_size("64MiB"), 64_MiB);
  EXPECT_EQ(*parse_byte_size("64Mi"), 64_MiB);
  EXPECT_EQ(*parse_byte_size("1.5GiB"), 1536_MiB);
  EXPECT_EQ(*parse_byte_size("1GB"), ByteSize{1'000'000'000});
  EXPECT_EQ(*parse_byte_size("512k"), ByteSize{512'000});
  EXPECT_EQ(*parse_byte_size("2TiB"), ByteSize{std::uint64_t{2} << 40});
  EXPECT_EQ(*parse_byte_size("3T"), ByteSize{3'000'000'000'000});
  EXPECT_EQ(*parse_byte_size("7B"), ByteSize{7});
}

TEST(ByteSize, IsExact) {
  EXPECT_EQ(*parse_byte_size("18446744073709551615"), ByteSize{UINT64_MAX});
  EXPECT_EQ(*parse_byte_size("9007199254740993"), ByteSize{9'007'199'254'740'993});
}

TEST(ByteSize, MalformedTextIsNamedWithTheAcceptedForm) {
  for (const char* text :
       {"", "MiB", "-1", "1 MiB", "1mib", "1e6", "18446744073709551616", "16777216TiB", "1.2.3k"}) {
    const auto size = parse_byte_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, ErrorCode::kInvalid);
    EXPECT_NE(size.error().message.find("64MiB"), std::string::npos);
  }
}

TEST(ByteSize, WhatIsWrittenIsReadBack) {
  EXPECT_EQ(format_byte_size(64_MiB), "64MiB");
  EXPECT_EQ(format_byte_size({1'000'000}), "1000000B");
  EXPECT_EQ(format_byte_size({0}), "0B");
  EXPECT_EQ(format_byte_size(1_GiB), "1GiB");
  std::mt19937_64 random(2);
  for (int i = 0; i < 20'000; ++i) {
    const ByteSize size{(random() >> (random() % 64)) << (10 * (random() % 4))};
    ASSERT_EQ(*parse_byte_size(format_byte_size(size)), size) << format_byte_size(size);
  }
}

}  // namespace
}  // namespace gpu_telemetry
