#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <regex>
#include <string>

#include "domain/metric_catalogue.h"

namespace gpu_telemetry {
namespace {

const MetricDefinition* const kTemperature = find_metric("DCGM_FI_DEV_GPU_TEMP");  // int64
const MetricDefinition* const kPower = find_metric("DCGM_FI_DEV_POWER_USAGE");     // double
const MetricDefinition* const kEnergy = find_metric("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION");
const MetricDefinition* const kRatio = find_metric("DCGM_FI_PROF_GR_ENGINE_ACTIVE");  // double
const MetricDefinition* const kMargin = find_metric("DCGM_FI_DEV_GPU_TEMP_LIMIT");
const MetricDefinition* const kUnknown = nullptr;

Rejection rejection_of(const MetricDefinition* definition, std::string_view text) {
  return interpret_reading(definition, text).rejection;
}

void expect_value(const MetricDefinition* definition, std::string_view text, double value) {
  const Reading reading = interpret_reading(definition, text);
  EXPECT_EQ(reading.rejection, Rejection::kNone) << text;
  EXPECT_EQ(reading.value, value) << text;
}

TEST(Reading, NumbersAreRead) {
  expect_value(kTemperature, "42", 42);
  expect_value(kTemperature, "0", 0);
  expect_value(kMargin, "-7", -7);
  expect_value(kPower, "689.457", 689.457);
  expect_value(kPower, ".5", 0.5);
  expect_value(kPower, "5.", 5);
  expect_value(kPower, "7e2", 700);
  expect_value(kRatio, "1.25E-3", 0.00125);
  expect_value(kUnknown, "-123456789.125", -123456789.125);
  expect_value(kEnergy, "12345678901234567", 12345678901234567.0);
}

TEST(Reading, SpacesAroundAreIgnored) {
  expect_value(kTemperature, " 42", 42);
  expect_value(kTemperature, "42\t ", 42);
  EXPECT_EQ(rejection_of(kTemperature, "4 2"), Rejection::kNotANumber);
}

TEST(Reading, TextThatIsNoNumberIsNotANumber) {
  for (const char* text : {"12abc", "abc", "-", ".", "-.", "1.2.3", "--1", "+1", "0x10", "1,5",
                           "1e", "e5", "1e+", "N/Ab", "<<<NULL>>", "1_000", "\x80"}) {
    EXPECT_EQ(rejection_of(kUnknown, text), Rejection::kNotANumber) << text;
    EXPECT_EQ(rejection_of(kTemperature, text), Rejection::kNotANumber) << text;
    EXPECT_EQ(rejection_of(kPower, text), Rejection::kNotANumber) << text;
  }
}

TEST(Reading, WordsForNoValueAreAbsentWithTheirReason) {
  for (const MetricDefinition* definition : {kTemperature, kPower, kUnknown}) {
    EXPECT_EQ(rejection_of(definition, "<<<NULL>>>"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "<<<NOT_FOUND>>>"), Rejection::kNotFound);
    EXPECT_EQ(rejection_of(definition, "<<<NOT_SUPPORTED>>>"), Rejection::kNotSupported);
    EXPECT_EQ(rejection_of(definition, "<<<NOT_PERM>>>"), Rejection::kNotPermitted);
    for (const char* text : {"", " ", "N/A", "n/a", "nan", "NaN", "-NAN", "+nan", "inf", "-Inf",
                             "+Inf", "INF", "Infinity", "-infinity"}) {
      EXPECT_EQ(rejection_of(definition, text), Rejection::kBlank) << text;
    }
  }
}

TEST(Reading, Int64CodesAreAbsentWithTheirReason) {
  for (const MetricDefinition* definition : {kTemperature, kEnergy, kUnknown}) {
    EXPECT_EQ(rejection_of(definition, "9223372036854775792"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "9223372036854775793"), Rejection::kNotFound);
    EXPECT_EQ(rejection_of(definition, "9223372036854775794"), Rejection::kNotSupported);
    EXPECT_EQ(rejection_of(definition, "9223372036854775795"), Rejection::kNotPermitted);
    EXPECT_EQ(rejection_of(definition, "9223372036854775796"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "9223372036854775807"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "18446744073709551615"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "99999999999999999999999"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "9.3e18"), Rejection::kBlank);
    EXPECT_EQ(interpret_reading(definition, 0x1p63).rejection, Rejection::kBlank);
  }
  expect_value(kEnergy, "9223372036854774784", 9223372036854774784.0);  // the last double below
}

TEST(Reading, DoubleCodesAreAbsentWithTheirReason) {
  for (const MetricDefinition* definition : {kPower, kRatio, kUnknown}) {
    EXPECT_EQ(rejection_of(definition, "140737488355328"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "140737488355328.0"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "140737488355329.000000"), Rejection::kNotFound);
    EXPECT_EQ(rejection_of(definition, "140737488355330.0"), Rejection::kNotSupported);
    EXPECT_EQ(rejection_of(definition, "140737488355331"), Rejection::kNotPermitted);
    EXPECT_EQ(rejection_of(definition, "1.40737488355328e14"), Rejection::kBlank);
  }
  EXPECT_EQ(rejection_of(kPower, "140737488355332"), Rejection::kBlank);
  EXPECT_EQ(rejection_of(kPower, "1e300"), Rejection::kBlank);
  expect_value(kUnknown, "140737488355332", 140737488355332.0);  // bytes, perhaps
  expect_value(kEnergy, "140737488355328", 140737488355328.0);   // a counter gets there
}

TEST(Reading, Int32CodesAreAbsentOnlyWhereTheyCannotBeValues) {
  for (const MetricDefinition* definition : {kTemperature, kPower}) {
    EXPECT_EQ(rejection_of(definition, "2147483632"), Rejection::kBlank);
    EXPECT_EQ(rejection_of(definition, "2147483633"), Rejection::kNotFound);
    EXPECT_EQ(rejection_of(definition, "2147483634"), Rejection::kNotSupported);
    EXPECT_EQ(rejection_of(definition, "2147483635"), Rejection::kNotPermitted);
    EXPECT_EQ(rejection_of(definition, "2147483636"), Rejection::kOutOfRange);
    EXPECT_EQ(rejection_of(definition, "2147483631"), Rejection::kOutOfRange);
  }
  for (const char* text : {"2147483632", "2147483633", "2147483634", "2147483635"}) {
    EXPECT_EQ(rejection_of(kEnergy, text), Rejection::kNone);
    EXPECT_EQ(rejection_of(kUnknown, text), Rejection::kNone);
  }
}

TEST(Reading, NumbersOutsideOfTheFieldsRangeAreOutOfRange) {
  EXPECT_EQ(rejection_of(kTemperature, "1000"), Rejection::kOutOfRange);
  EXPECT_EQ(rejection_of(kPower, "-0.5"), Rejection::kOutOfRange);
  EXPECT_EQ(rejection_of(kRatio, "1.5"), Rejection::kOutOfRange);
  EXPECT_EQ(rejection_of(kEnergy, "-1"), Rejection::kOutOfRange);
  expect_value(kRatio, "1", 1);
}

TEST(Reading, NumbersThatNoDoubleHoldsAreOutOfRange) {
  EXPECT_EQ(rejection_of(kUnknown, "1e400"), Rejection::kOutOfRange);
  EXPECT_EQ(rejection_of(kUnknown, "-1e400"), Rejection::kOutOfRange);
  EXPECT_EQ(rejection_of(kUnknown, "1e-400"), Rejection::kOutOfRange);
}

TEST(Reading, ValuesThatAreNumbersAlreadyFollowTheSameRules) {
  EXPECT_EQ(interpret_reading(kTemperature, 42.0).value, 42);
  EXPECT_EQ(interpret_reading(kTemperature, 2147483634.0).rejection, Rejection::kNotSupported);
  EXPECT_EQ(interpret_reading(kPower, 140737488355329.0).rejection, Rejection::kNotFound);
  EXPECT_EQ(interpret_reading(kUnknown, std::nan("")).rejection, Rejection::kBlank);
  EXPECT_EQ(interpret_reading(kUnknown, -HUGE_VAL).rejection, Rejection::kBlank);
  EXPECT_EQ(interpret_reading(kUnknown, 1e19).rejection, Rejection::kBlank);
}

TEST(Reading, RejectionsAreNamedAsTheMetricsLabelsAre) {
  EXPECT_EQ(to_string(Rejection::kNotANumber), "not_a_number");
  EXPECT_EQ(to_string(Rejection::kOutOfRange), "out_of_range");
  EXPECT_EQ(to_string(Rejection::kNotPermitted), "not_permitted");
}

// What interpret_reading does for an unknown metric, said with a regular expression and strtod.
Reading reference(const std::string& text) {
  static const std::regex number(R"(-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)");
  static const std::regex blank(R"([-+]?(n/a|nan|inf|infinity))", std::regex::icase);
  std::string trimmed = text;
  while (!trimmed.empty() && std::string(" \t").find(trimmed.back()) != std::string::npos) {
    trimmed.pop_back();
  }
  trimmed.erase(0, std::min(trimmed.find_first_not_of(" \t"), trimmed.size()));
  if (trimmed.empty() || std::regex_match(trimmed, blank)) return {0, Rejection::kBlank};
  if (!std::regex_match(trimmed, number)) return {0, Rejection::kNotANumber};
  errno = 0;
  const double value = std::strtod(trimmed.c_str(), nullptr);
  if (!std::isfinite(value) || (value == 0 && errno == ERANGE)) return {0, Rejection::kOutOfRange};
  if (value >= 0x1p63) return {0, Rejection::kBlank};
  return {value, Rejection::kNone};
}

void expect_as_reference(const std::string& text) {
  const Reading actual = interpret_reading(nullptr, text);
  const Reading expected = reference(text);
  ASSERT_EQ(to_string(actual.rejection), to_string(expected.rejection)) << "'" << text << "'";
  ASSERT_EQ(std::bit_cast<std::uint64_t>(actual.value),
            std::bit_cast<std::uint64_t>(expected.value))
      << "'" << text << "'";
}

TEST(Reading, RandomNumbersAreReadAsStrtodReadsThem) {
  std::mt19937_64 random(20250718);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    if (random() % 4 == 0) text += '-';
    const auto digits = random() % 20;
    for (std::uint64_t n = 0; n < digits; ++n) text += static_cast<char>('0' + random() % 10);
    if (random() % 2 == 0) {
      text += '.';
      const auto fraction = random() % 20;
      for (std::uint64_t n = 0; n < fraction; ++n) text += static_cast<char>('0' + random() % 10);
    }
    if (random() % 8 == 0) {
      text += random() % 2 == 0 ? "e" : "E-";
      text += std::to_string(random() % 40);
    }
    ASSERT_NO_FATAL_FAILURE(expect_as_reference(text));
  }
}

TEST(Reading, RandomTextIsReadAsTheReferenceReadsIt) {
  constexpr std::string_view kAlphabet = "0123456789..--+eEnaif/NA \tx";
  std::mt19937_64 random(31);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    const auto size = random() % 9;
    for (std::uint64_t n = 0; n < size; ++n) text += kAlphabet[random() % kAlphabet.size()];
    ASSERT_NO_FATAL_FAILURE(expect_as_reference(text));
  }
}

}  // namespace
}  // namespace gpu_telemetry
