#include "http/head_parser.h"

#include <gtest/gtest.h>

namespace gpu_telemetry::http {
namespace {

using State = HeadScanner::State;

TEST(HeadScannerTest, FindsTheEndHoweverTheBytesArrive) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n";
  for (std::size_t split = 1; split < head.size(); ++split) {
    HeadScanner scanner{HeadLimits{}};
    EXPECT_EQ(scanner.scan(std::string_view(head).substr(0, split)), State::kNeedMore) << split;
    EXPECT_EQ(scanner.scan(head + "GET"), State::kComplete) << split;
    EXPECT_EQ(scanner.head_size(), head.size());
    EXPECT_EQ(scanner.first_line_size(), 16U);
  }
}

TEST(HeadScannerTest, RefusesALineThatIsTooLongBeforeItsEndCame) {
  HeadScanner target{HeadLimits{100, 100, 10}};
  EXPECT_EQ(target.scan("GET /" + std::string(200, 'x')), State::kProblem);
  EXPECT_EQ(target.problem().status, 414);
  HeadScanner fields{HeadLimits{100, 100, 10}};
  EXPECT_EQ(fields.scan("GET / HTTP/1.1\r\nX: " + std::string(200, 'x')), State::kProblem);
  EXPECT_EQ(fields.problem().status, 431);
}

TEST(RequestLineTest, TakesAMethodATargetAndAVersion) {
  RequestLine line;
  EXPECT_FALSE(parse_request_line("PATCH /a?b HTTP/1.0", line));
  EXPECT_EQ(line.method, Method::kPatch);
  EXPECT_EQ(line.target, "/a?b");
  EXPECT_EQ(line.minor_version, 0);
  EXPECT_FALSE(parse_request_line("get / HTTP/1.1", line));
  EXPECT_FALSE(line.method) << "methods are case-sensitive";
}

TEST(StatusLineTest, TakesAStatusWithOrWithoutAReason) {
  StatusLine line;
  for (const char* text : {"HTTP/1.1 204 No Content", "HTTP/1.1 204 ", "HTTP/1.1 204"}) {
    EXPECT_FALSE(parse_status_line(text, line)) << text;
    EXPECT_EQ(line.status, 204);
  }
  for (const char* text : {"HTTP/1.1 2O4 x", "HTTP/1.1 99", "HTTP/1.1 600 x", "HTTP/1.1  200", "",
                           "HTTP/1.1", "HTTP/1.1 2000", "ICY 200 OK okay"}) {
    EXPECT_TRUE(parse_status_line(text, line)) << text;
  }
}

TEST(FieldsTest, ReadsFramingWhateverTheCaseAndTheSpaces) {
  Headers headers;
  Framing framing;
  EXPECT_FALSE(parse_fields("CONTENT-LENGTH: \t12 \r\nconnection: x, Close\r\nEmpty:\r\n\r\n", 10,
                            headers, framing));
  EXPECT_EQ(framing.content_length, 12U);
  EXPECT_TRUE(framing.close);
  EXPECT_TRUE(headers.contains("empty"));
  EXPECT_EQ(headers.get("content-length"), "12");
}

TEST(FieldsTest, TakesTheSameLengthTwice) {
  Headers headers;
  Framing framing;
  EXPECT_FALSE(
      parse_fields("Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 10, headers, framing));
  EXPECT_EQ(framing.content_length, 5U);
}

TEST(TargetTest, SplitsEachForm) {
  Target target;
  EXPECT_FALSE(split_target("/a/b?c=d?e", target));
  EXPECT_EQ(target.path, "/a/b");
  EXPECT_EQ(target.query, "c=d?e");
  EXPECT_FALSE(split_target("http://h:1?q", target));
  EXPECT_EQ(target.authority, "h:1");
  EXPECT_EQ(target.path, "/");
  EXPECT_EQ(target.query, "q");
  EXPECT_FALSE(split_target("https://h", target));
  EXPECT_EQ(target.path, "/");
  EXPECT_FALSE(split_target("*", target));
  EXPECT_TRUE(split_target("h:80", target));
  EXPECT_TRUE(split_target("http:///x", target));
  EXPECT_TRUE(split_target("ftp://h/x", target));
}

TEST(TargetTest, MustNotNameAnotherHostThanTheHeader) {
  Target target;
  EXPECT_FALSE(check_same_host(target, "Example:80"));
  target.authority = "example:80";
  EXPECT_FALSE(check_same_host(target, "Example:80"));
  for (const char* other : {"example", "elsewhere:80", "user@example:80", ""}) {
    EXPECT_TRUE(check_same_host(target, other)) << other;
  }
}

TEST(FieldsTest, TakesOnlyAHostThatIsOne) {
  const auto is_taken = [](const std::string& host) {
    Headers headers;
    Framing framing;
    return !parse_fields("Host: " + host + "\r\n\r\n", 10, headers, framing);
  };
  for (const char* host : {"", "a", "node-1.example:8080", "[::1]:80", "a_b", "%C3%BC"}) {
    EXPECT_TRUE(is_taken(host)) << host;
  }
  for (const char* host :
       {"a, b", "a b", "a/b", "user@a", "a?b", "a#b", "a\\b", "\"a\"", "\xC3\xBC"}) {
    EXPECT_FALSE(is_taken(host)) << host;
  }
}

}  // namespace
}  // namespace gpu_telemetry::http
