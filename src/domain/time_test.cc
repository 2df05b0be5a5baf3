#include "domain/time.h"

#include <gtest/gtest.h>

#include <random>

#include "domain/clock.h"

namespace gpu_telemetry {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::year;

constexpr Timestamp kExample = Timestamp{sys_days{year{2025} / 7 / 18}} + 20h + 42min + 34s;

TEST(Time, IsReadInUtcAndWithOffsets) {
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34Z"), kExample);
  EXPECT_EQ(*parse_rfc3339("2025-07-18t20:42:34z"), kExample);
  EXPECT_EQ(*parse_rfc3339("2025-07-18 20:42:34Z"), kExample);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T22:42:34+02:00"), kExample);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T12:57:34-07:45"), kExample);
  EXPECT_EQ(*parse_rfc3339("2025-07-19T00:12:34+03:30"), kExample);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34-00:00"), kExample);
}

TEST(Time, IsReadToTheMillisecond) {
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.5Z"), kExample + 500ms);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.05Z"), kExample + 50ms);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.123Z"), kExample + 123ms);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.123999999+00:00"), kExample + 123ms);
}

TEST(Time, FinerDigitsGoDownOrUpAsAsked) {
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.1230001Z", Rounding::kUp), kExample + 124ms);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.1230000Z", Rounding::kUp), kExample + 123ms);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.9999Z", Rounding::kUp), kExample + 1s);
  EXPECT_EQ(*parse_rfc3339("2025-07-18T20:42:34.9999Z", Rounding::kDown), kExample + 999ms);
}

TEST(Time, LeapDaysExistInLeapYearsOnly) {
  EXPECT_TRUE(parse_rfc3339("2024-02-29T00:00:00Z"));
  EXPECT_TRUE(parse_rfc3339("2000-02-29T00:00:00Z"));
  EXPECT_FALSE(parse_rfc3339("2025-02-29T00:00:00Z"));
  EXPECT_FALSE(parse_rfc3339("1900-02-29T00:00:00Z"));
  EXPECT_EQ(*parse_rfc3339("2024-02-29T23:30:00-01:00"), *parse_rfc3339("2024-03-01T00:30:00Z"));
}

TEST(Time, ALeapSecondIsTheFirstOfTheNextMinute) {
  EXPECT_EQ(*parse_rfc3339("2016-12-31T23:59:60Z"), *parse_rfc3339("2017-01-01T00:00:00Z"));
}

TEST(Time, MalformedTextIsNamedWithTheAcceptedForm) {
  for (const char* text : {"",
                           "2025-07-18",
                           "2025-07-18T20:42:34",
                           "2025-07-18T20:42Z",
                           "2025-7-18T20:42:34Z",
                           "2025-13-01T00:00:00Z",
                           "2025-00-01T00:00:00Z",
                           "2025-01-00T00:00:00Z",
                           "2025-04-31T00:00:00Z",
                           "2025-07-18T24:00:00Z",
                           "2025-07-18T20:60:00Z",
                           "2025-07-18T20:42:61Z",
                           "2025-07-18T20:42:34.Z",
                           "2025-07-18T20:42:34.1",
                           "2025-07-18T20:42:34+2:00",
                           "2025-07-18T20:42:34+0200",
                           "2025-07-18T20:42:34+24:00",
                           "2025-07-18T20:42:34+02:60",
                           "2025-07-18T20:42:34Zx",
                           "2025-07-18_20:42:34Z",
                           "x025-07-18T20:42:34Z",
                           "2025-07-18T20:42:3-Z",
                           " 2025-07-18T20:42:34Z"}) {
    const auto time = parse_rfc3339(text);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().code, ErrorCode::kInvalid);
    EXPECT_NE(time.error().message.find("2025-07-18T20:42:34Z"), std::string::npos);
  }
}

TEST(Time, OnlyTheYearsThatCanBeWrittenAreRead) {
  EXPECT_EQ(format_rfc3339(*parse_rfc3339("0000-01-01T00:00:00Z")), "0000-01-01T00:00:00Z");
  EXPECT_EQ(format_rfc3339(*parse_rfc3339("9999-12-31T23:59:59.999Z")), "9999-12-31T23:59:59.999Z");
  EXPECT_FALSE(parse_rfc3339("0000-01-01T00:00:00+00:01"));
  EXPECT_FALSE(parse_rfc3339("9999-12-31T23:59:59-00:01"));
  EXPECT_FALSE(parse_rfc3339("9999-12-31T23:59:60Z"));
  EXPECT_FALSE(parse_rfc3339("9999-12-31T23:59:59.9999Z", Rounding::kUp));
}

TEST(Time, IsWrittenWithAFractionOnlyWhereThereIsOne) {
  EXPECT_EQ(format_rfc3339(kExample), "2025-07-18T20:42:34Z");
  EXPECT_EQ(format_rfc3339(kExample + 50ms), "2025-07-18T20:42:34.050Z");
  EXPECT_EQ(format_rfc3339(Timestamp{-1ms}), "1969-12-31T23:59:59.999Z");
}

TEST(Time, WhatCannotBeWrittenIsWrittenAsTheNearestThatCan) {
  using std::chrono::sys_days;
  using std::chrono::year;
  for (const Timestamp time : {Timestamp{sys_days{year{10'000} / 1 / 1}},
                               from_unix_milliseconds(1'764'525'600'000'000), Timestamp::max()}) {
    EXPECT_EQ(format_rfc3339(time), "9999-12-31T23:59:59.999Z");
  }
  for (const Timestamp time : {Timestamp{sys_days{year{-1} / 1 / 1}}, Timestamp::min()}) {
    EXPECT_EQ(format_rfc3339(time), "0000-01-01T00:00:00Z");
  }
}

TEST(Time, WhatIsWrittenIsReadBack) {
  std::mt19937_64 random(3);
  const std::int64_t first = unix_milliseconds(*parse_rfc3339("0000-01-01T00:00:00Z"));
  const std::int64_t last = unix_milliseconds(*parse_rfc3339("9999-12-31T23:59:59.999Z"));
  for (int i = 0; i < 20'000; ++i) {
    const auto span = static_cast<std::uint64_t>(last - first + 1);
    const Timestamp time =
        from_unix_milliseconds(first + static_cast<std::int64_t>(random() % span));
    ASSERT_EQ(*parse_rfc3339(format_rfc3339(time)), time) << format_rfc3339(time);
  }
}

TEST(Time, TheEarliestTimestampIsTheFirstDayOfThirteenDigits) {
  EXPECT_EQ(format_rfc3339(kEarliestTimestamp), "2001-09-10T00:00:00Z");
  EXPECT_EQ(std::to_string(unix_milliseconds(kEarliestTimestamp)).size(), 13U);
}

TEST(Clock, AManualClockMovesOnlyWhenToldTo) {
  ManualClock clock(kExample);
  const SteadyTime start = clock.steady_now();
  clock.advance(1500us);
  EXPECT_EQ(clock.now(), kExample + 1ms);
  clock.advance(500us);
  EXPECT_EQ(clock.now(), kExample + 2ms);
  EXPECT_EQ(clock.steady_now() - start, 2ms);
  clock.set(kExample - 1h);
  EXPECT_EQ(clock.now(), kExample - 1h);
  EXPECT_EQ(clock.steady_now() - start, 2ms);
}

TEST(Clock, TheSystemClockTellsTheTime) {
  EXPECT_GT(system_clock().now(), kEarliestTimestamp);
  const SteadyTime earlier = system_clock().steady_now();
  EXPECT_LE(earlier, system_clock().steady_now());
}

}  // namespace
}  // namespace gpu_telemetry
