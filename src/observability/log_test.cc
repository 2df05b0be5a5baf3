#include "observability/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>
#include <vector>

#include "observability/log_text.h"

namespace gpu_telemetry::observability {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const Timestamp kTime = *parse_rfc3339("2025-07-18T15:04:05.123Z");

std::string json_of(std::string_view message, std::vector<LogField> fields = {}) {
  return json_log_line(kTime, LogLevel::kInfo, "collector", message, fields);
}

std::string text_of(std::string_view message, std::vector<LogField> fields = {}) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  return text_log_line(kTime, LogLevel::kInfo, message, fields, false);
}

// What `write` puts on standard error, configured while that is a file and no terminal.
template <class Write>
std::string standard_error_of(LogLevel level, LogFormat format, Write write) {
  ::testing::internal::CaptureStderr();
  configure_logging(level, format, "gateway");
  write();
  return ::testing::internal::GetCapturedStderr();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return lines;
}

TEST(LogLevelWords, AreFourAndAnErrorNamesThem) {
  EXPECT_EQ(*parse_log_level("debug"), LogLevel::kDebug);
  EXPECT_EQ(*parse_log_level("info"), LogLevel::kInfo);
  EXPECT_EQ(*parse_log_level("warn"), LogLevel::kWarn);
  EXPECT_EQ(*parse_log_level("error"), LogLevel::kError);
  const auto wrong = parse_log_level("verbose");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error(),
            invalid("unknown log level 'verbose': expected debug, info, warn or error"));
}

TEST(JsonLogLine, HasTimeLevelServiceMessageAndFields) {
  EXPECT_EQ(json_of("batch stored", {{"rows", 12}, {"file", "a.csv"}, {"late", true}, {"s", 0.5}}),
            R"({"time":"2025-07-18T15:04:05.123Z","level":"info","service":"collector",)"
            R"("message":"batch stored","rows":12,"file":"a.csv","late":true,"s":0.5})"
            "\n");
}

TEST(JsonLogLine, WritesThreeFractionDigitsEvenWhenTheyAreZero) {
  const auto line =
      json_log_line(*parse_rfc3339("2025-07-18T15:04:05Z"), LogLevel::kWarn, "", "m", {});
  EXPECT_EQ(line, "{\"time\":\"2025-07-18T15:04:05.000Z\",\"level\":\"warn\",\"message\":\"m\"}\n");
}

TEST(JsonLogLine, EscapesQuotesBackslashesAndControlCharacters) {
  const std::string line = json_of("a\"b\\c\nd\x01\x7f", {{"k\"", "\t\r\x1b[31m"}});
  EXPECT_THAT(line, HasSubstr(R"("message":"a\"b\\c\nd\u0001\u007f")"));
  EXPECT_THAT(line, HasSubstr(R"("k\"":"\t\r\u001b[31m")"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(JsonLogLine, KeepsWellFormedUtf8) {
  EXPECT_THAT(json_of("µ € 😀"), HasSubstr(R"("message":"µ € 😀")"));
}

TEST(JsonLogLine, ReplacesEachByteThatIsNotUtf8) {
  // A stray continuation, an overlong slash, a surrogate, a code point too large, a cut sequence.
  EXPECT_THAT(json_of("a\x80z"), HasSubstr("\"a\xEF\xBF\xBDz\""));
  EXPECT_THAT(json_of("\xC0\xAF"), HasSubstr("\"\xEF\xBF\xBD\xEF\xBF\xBD\""));
  EXPECT_THAT(json_of("\xED\xA0\x80"), HasSubstr("\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""));
  EXPECT_THAT(json_of("\xF4\x90\x80\x80"), Not(HasSubstr("\xF4")));
  EXPECT_THAT(json_of("\xE2\x82"), HasSubstr("\"\xEF\xBF\xBD\xEF\xBF\xBD\""));
}

TEST(JsonLogLine, QuotesNumbersThatJsonCannotWrite) {
  EXPECT_THAT(json_of("m", {{"v", std::nan("")}}), HasSubstr(R"("v":"nan")"));
  EXPECT_THAT(json_of("m", {{"v", -std::numeric_limits<double>::infinity()}}),
              HasSubstr(R"("v":"-inf")"));
  EXPECT_THAT(json_of("m", {{"v", 1e300}}), HasSubstr(R"("v":1e+300)"));
}

TEST(TextLogLine, IsTimeLevelMessageAndFields) {
  EXPECT_EQ(text_of("batch stored", {{"rows", 12}, {"file", "a.csv"}}),
            "15:04:05.123 INFO  batch stored rows=12 file=a.csv\n");
}

TEST(TextLogLine, QuotesValuesThatWouldBeAmbiguous) {
  EXPECT_THAT(text_of("m", {{"a", "x y"}, {"b", ""}, {"c", "k=v"}, {"d", "say \"hi\""}}),
              EndsWith(R"(m a="x y" b="" c="k=v" d="say \"hi\"")"
                       "\n"));
}

TEST(TextLogLine, CannotBeForgedByWhatIsLogged) {
  const std::string line = text_of("a\nb\x1b[2J", {{"k",
                                                    "\xC2\x9B"
                                                    "31m\r"}});
  EXPECT_THAT(line, EndsWith("a\\nb\\u001b[2J k=\\u009b31m\\r\n"));
}

TEST(TextLogLine, ColoursTheLevelOnATerminal) {
  EXPECT_THAT(text_log_line(kTime, LogLevel::kError, "m", {}, true),
              HasSubstr("\x1b[31mERROR\x1b[0m m"));
}

TEST(Log, WritesJsonLinesFromTheConfiguredLevelUp) {
  const std::string written = standard_error_of(LogLevel::kWarn, LogFormat::kAuto, [] {
    log_info("unheard");
    log_warn("heard", {{"n", 1}});
  });
  EXPECT_FALSE(log_enabled(LogLevel::kInfo));
  EXPECT_TRUE(log_enabled(LogLevel::kError));
  EXPECT_THAT(written, StartsWith("{\"time\":\""));
  EXPECT_THAT(written, EndsWith(",\"level\":\"warn\",\"service\":\"gateway\",\"message\":\"heard\","
                                "\"n\":1}\n"));
  EXPECT_EQ(lines_of(written).size(), 1u);
}

TEST(Log, DoesNotReadBracesInAMessageAsAFormat) {
  EXPECT_THAT(standard_error_of(LogLevel::kInfo, LogFormat::kJson, [] { log_info("{} {0:x} {"); }),
              HasSubstr("\"message\":\"{} {0:x} {\""));
}

TEST(Log, LinesOfManyThreadsStayWhole) {
  constexpr int kThreads = 4;
  constexpr int kLines = 200;
  const std::string value(300, 'x');
  const std::string written = standard_error_of(LogLevel::kInfo, LogFormat::kText, [&] {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kLines; ++i) log_info("line", {{"value", value}});
      });
    }
  });
  const auto lines = lines_of(written);
  EXPECT_EQ(lines.size(), static_cast<std::size_t>(kThreads * kLines));
  for (const std::string& line : lines) ASSERT_THAT(line, EndsWith("INFO  line value=" + value));
}

TEST(LogLimiter, LetsABurstThroughAndThenSaysHowManyItHeldBack) {
  LogLimiter limiter(2, std::chrono::seconds{10});
  const std::chrono::steady_clock::time_point start{std::chrono::hours{5}};
  const std::string written = standard_error_of(LogLevel::kInfo, LogFormat::kText, [&] {
    for (int i = 0; i < 5; ++i) limiter.log_at(start, LogLevel::kWarn, "row skipped", {{"i", i}});
    limiter.log_at(start + std::chrono::milliseconds{9'999}, LogLevel::kWarn, "row skipped");
    limiter.log_at(start + std::chrono::seconds{10}, LogLevel::kWarn, "row skipped", {{"i", 6}});
    limiter.log_at(start + std::chrono::seconds{11}, LogLevel::kWarn, "row skipped", {{"i", 7}});
  });
  const auto lines = lines_of(written);
  ASSERT_EQ(lines.size(), 4u) << written;
  EXPECT_THAT(lines[0], EndsWith("row skipped i=0"));
  EXPECT_THAT(lines[1], EndsWith("row skipped i=1"));
  EXPECT_THAT(lines[2], EndsWith("row skipped i=6 suppressed=4"));
  EXPECT_THAT(lines[3], EndsWith("row skipped i=7"));
}

TEST(LogLimiter, DoesNotSpendItsBurstOnLinesBelowTheLevel) {
  LogLimiter limiter(1, std::chrono::hours{1});
  const std::string written = standard_error_of(LogLevel::kInfo, LogFormat::kText, [&] {
    limiter.log(LogLevel::kDebug, "detail");
    limiter.log(LogLevel::kInfo, "first");
    limiter.log(LogLevel::kInfo, "second");
  });
  EXPECT_THAT(written, EndsWith("INFO  first\n"));
}

}  // namespace
}  // namespace gpu_telemetry::observability
