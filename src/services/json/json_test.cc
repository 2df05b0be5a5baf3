#include "services/json/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
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
