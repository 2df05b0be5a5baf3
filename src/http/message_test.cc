#include "http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/encoding.h"
#include "http/response_head.h"

namespace gpu_telemetry::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(HeadersTest, ComparesNamesWithoutCaseAndKeepsTheOrder) {
  Headers headers;
  headers.add("A", "1");
  headers.add("B", "2");
  headers.add("a", "3");
  EXPECT_EQ(headers.get("a"), "1");
  headers.set("a", "4");
  EXPECT_THAT(headers.all(), ElementsAre(testing::Pair("A", "4"), testing::Pair("B", "2")));
  EXPECT_EQ(headers.get("c"), "");
  EXPECT_FALSE(headers.contains("c"));
}

TEST(QueryParametersTest, DecodesNamesAndValuesInOrder) {
  const auto query = QueryParameters::parse("a=1&b+c=%C3%BC%26&&a=2&empty=&flag");
  ASSERT_TRUE(query);
  EXPECT_THAT(query->get_all("a"), ElementsAre("1", "2"));
  EXPECT_EQ(query->get("b c"), "\xC3\xBC&");
  EXPECT_EQ(query->get("empty"), "");
  EXPECT_EQ(query->get("flag"), "");
  EXPECT_EQ(query->get("none"), std::nullopt);
  EXPECT_TRUE(QueryParameters::parse("")->all().empty());
}

TEST(QueryParametersTest, NamesTheParameterThatIsBadlyEncoded) {
  EXPECT_THAT(QueryParameters::parse("a=1&start=%2").error().message, HasSubstr("'start'"));
  EXPECT_THAT(QueryParameters::parse("start=%ff").error().message, HasSubstr("UTF-8"));
  EXPECT_FALSE(QueryParameters::parse("%g0=1"));
}

TEST(Utf8Test, RefusesOverlongFormsSurrogatesAndWhatIsCut) {
  for (const std::string_view good : {"", "a", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                      "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const std::string_view bad :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xC3", "\xE2\x82", "\xFF"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
}

TEST(ProblemTest, FitsTheErrorAndHidesWhatIsInternal) {
  EXPECT_EQ(problem(invalid("x")).status, 400);
  EXPECT_EQ(problem(not_found("x")).status, 404);
  EXPECT_EQ(problem(conflict("x")).status, 409);
  EXPECT_EQ(problem(full("x")).status, 503);
  EXPECT_EQ(problem(unavailable("x")).headers.get("Retry-After"), "1");
  EXPECT_EQ(problem(corrupt("x")).status, 500);
  EXPECT_THAT(problem(corrupt("x")).body, HasSubstr("what is stored is damaged: x"));
  for (const Error& error : {internal("secret"), cancelled("secret")}) {
    EXPECT_EQ(problem(error).status, 500);
    EXPECT_THAT(problem(error).body, Not(HasSubstr("secret")));
  }
}

TEST(ProblemTest, IsJsonWhateverTheDetail) {
  EXPECT_EQ(problem(400, "a \"b\" \\ \n \xFF \xC3\xBC").body,
            "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
            "\"detail\":\"a \\\"b\\\" \\\\ \\u000a \\ufffd \xC3\xBC\"}");
}

TEST(ResponseHeadTest, WritesDatesAsHttpDoes) {
  EXPECT_EQ(imf_fixdate(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(imf_fixdate(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
}

TEST(ResponseHeadTest, KeepsItsOwnHeadersToItself) {
  Response response;
  response.headers.add("content-length", "99");
  response.headers.add("X-A", "b");
  ResponseFraming framing;
  framing.content_length = 5;
  framing.date = "now";
  framing.request_id = "id";
  std::string head;
  append_head(head, response, framing);
  EXPECT_EQ(head,
            "HTTP/1.1 200 OK\r\nDate: now\r\nX-A: b\r\nContent-Length: 5\r\n"
            "X-Request-Id: id\r\n\r\n");
}

}  // namespace
}  // namespace gpu_telemetry::http
