#include "services/json/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

namespace gpu_telemetry::services::json {
namespace {

std::string number(double value) {
  std::string out;
  append_number(out, value);
  return out;
}

std::string string(std::string_view text) {
  std::string out;
  append_string(out, text);
  return out;
}

TEST(JsonNumber, IsTheShortestDecimalOfTheValue) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(65), "65");
  EXPECT_EQ(number(320.5), "320.5");
  EXPECT_EQ(number(-1.25), "-1.25");
  EXPECT_EQ(number(-0.001), "-0.001");
  EXPECT_EQ(number(73.072), "73.072");
  EXPECT_EQ(number(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(number(9007199254740993.0), "9007199254740992");
  EXPECT_EQ(number(-0.0), "-0");
}

TEST(JsonNumber, WritesWholeNumbersAndThousandthsOfEveryLength) {
  for (std::int64_t whole = 1; whole < 100'000'000'000; whole = whole * 3 + 7) {
    for (const std::int64_t value : {whole, -whole}) {
      EXPECT_EQ(number(static_cast<double>(value)), std::to_string(value));
    }
  }
  EXPECT_EQ(number(99), "99");
  EXPECT_EQ(number(100), "100");
  EXPECT_EQ(number(9'999), "9999");
  EXPECT_EQ(number(10'000), "10000");
  for (int thousandths = 1; thousandths < 1000; ++thousandths) {
    std::string fraction = std::to_string(1000 + thousandths).substr(1);
    while (fraction.back() == '0') fraction.pop_back();
    EXPECT_EQ(number(thousandths / 1000.0), "0." + fraction);
    EXPECT_EQ(number((42'000 + thousandths) / 1000.0), "42." + fraction);
  }
}

TEST(JsonNumber, WritesEveryInteger) {
  const auto written = [](std::int64_t value) {
    char text[kIntegerMaxSize];
    return std::string(text, put_integer(text, value));
  };
  for (const std::int64_t value :
       {std::int64_t{0}, std::int64_t{7}, std::int64_t{-7}, std::int64_t{1'764'525'600'000},
        std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_EQ(written(value), std::to_string(value));
  }
}

TEST(JsonNumber, ReadsBackAsTheSameDouble) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    double value = std::bit_cast<double>(random());
    if (i % 2 == 0) value = static_cast<double>(static_cast<std::int64_t>(random()) >> 20) / 1000;
    if (!std::isfinite(value)) continue;
    EXPECT_EQ(std::strtod(number(value).c_str(), nullptr), value) << number(value);
  }
}

TEST(JsonString, EscapesWhatMustBeAndKeepsUtf8) {
  EXPECT_EQ(string("a\"b\\c\n\r\t\x01"), R"("a\"b\\c\n\r\t\u0001")");
  EXPECT_EQ(string("größe €😀"), "\"größe €😀\"");
  EXPECT_EQ(string(std::string_view("a\0b", 3)), R"("a\u0000b")");
}

TEST(JsonString, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(string("\xff"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(string("\xC0\xAF"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");  // overlong
  EXPECT_EQ(string("\xE2\x82"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");  // torn
  EXPECT_EQ(string("\xED\xA0\x80").size(), 2U + 9U);              // surrogate
}

TEST(JsonKey, PutsACommaBetweenMembersOnly) {
  std::string out = "{";
  append_member(out, "a", "1");
  append_member(out, "b", "2");
  EXPECT_EQ(out, R"({"a":"1","b":"2")");
}

}  // namespace
}  // namespace gpu_telemetry::services::json
