#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "http/server_fixture.h"
#include "observability/metrics.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

asio::awaitable<Response> throwing(Request&) {
  throw std::runtime_error("the secret of the handler");
  co_return Response{};
}

asio::awaitable<Result<void>> write_three(BodyWriter& writer) {
  for (const std::string_view part : {"one ", "two ", "three"}) {
    const Result<void> written = co_await writer.write(part);
    if (!written) co_return written.error();
  }
  co_return Result<void>();
}

asio::awaitable<Response> streaming(Request&) {
  Response response;
  response.stream = write_three;
  co_return response;
}

asio::awaitable<Result<void>> write_and_fail(BodyWriter& writer) {
  const Result<void> written = co_await writer.write("half");
  if (!written) co_return written.error();
  co_return corrupt("the rest is lost");
}

asio::awaitable<Response> breaking(Request&) {
  Response response;
  response.stream = write_and_fail;
  co_return response;
}

asio::awaitable<Response> splitting(Request&) {
  Response response = text_response(200, "body");
  response.headers.add("X-A", "1\r\nX-Injected: 2");
  co_return response;
}

class ServerAnswersTest : public ServerTest {
 protected:
  ServerAnswersTest() {
    add(Method::kGet, "/throw", throwing);
    add(Method::kGet, "/stream", streaming);
    add(Method::kGet, "/break", breaking);
    add(Method::kGet, "/split", splitting);
  }
};

TEST_F(ServerAnswersTest, AnswersSeveralRequestsOnOneConnection) {
  RawConnection connection(start());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    const RawAnswer answer = connection.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "hello");
    EXPECT_EQ(answer.header("Connection"), "(none)");
    EXPECT_THAT(answer.header("Date"), EndsWith(" GMT"));
  }
}

TEST_F(ServerAnswersTest, ClosesWhenTheClientAsksForIt) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  EXPECT_EQ(connection.answer().header("Connection"), "close");
  EXPECT_TRUE(connection.closed());
}

TEST_F(ServerAnswersTest, ClosesAfterAnHttp10RequestUnlessItAsksToStay) {
  RawConnection closing(start());
  ASSERT_TRUE(closing.send("GET /hello HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(closing.answer().body, "hello");
  EXPECT_TRUE(closing.closed());
  RawConnection staying(server_->port());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(staying.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    EXPECT_EQ(staying.answer().header("Connection"), "keep-alive");
  }
}

TEST_F(ServerAnswersTest, AnswersHeadLikeGetWithoutTheBody) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  const RawAnswer head = connection.answer(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "5");
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer().body, "hello");
}

TEST_F(ServerAnswersTest, AnswersAHundredPipelinedRequestsInOrder) {
  std::string requests;
  for (int i = 0; i < 100; ++i) {
    requests += "GET /echo/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(requests));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(connection.answer().header("X-Who"), std::to_string(i));
  }
}

TEST_F(ServerAnswersTest, UnderstandsARequestThatArrivesByteByByte) {
  RawConnection connection(start());
  const std::string_view request =
      "POST /echo?q=%C3%BC+1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
  for (const char& byte : request) ASSERT_TRUE(connection.send(std::string_view(&byte, 1)));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "abc0123456789");
  EXPECT_EQ(answer.header("X-Query"), "\xC3\xBC 1");
}

TEST_F(ServerAnswersTest, ReadsALargeBody) {
  options_.max_body_size = 4_MiB;
  const std::string body(3 << 20, 'x');
  const RawAnswer answer =
      ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, body);
}

TEST_F(ServerAnswersTest, DecodesThePathBeforeItMatches) {
  const RawAnswer answer = ask("GET /ec%68o/a%20b HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.header("X-Path"), "/echo/a b");
  EXPECT_EQ(answer.header("X-Who"), "a b");
}

TEST_F(ServerAnswersTest, TakesTheAbsoluteFormOfATarget) {
  EXPECT_EQ(ask("GET http://a.example:80/hello?x=1 HTTP/1.1\r\nHost: A.example:80\r\n\r\n").body,
            "hello");
}

TEST_F(ServerAnswersTest, SaysContinueBeforeItReadsABodyThatWaitsForIt) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(connection.answer().status, 100);
  ASSERT_TRUE(connection.send("abc"));
  EXPECT_EQ(connection.answer().body, "abc");
}

TEST_F(ServerAnswersTest, RefusesABodyThatIsTooLongBeforeItIsSent) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(
      "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_THAT(answer.body, HasSubstr("\"status\":413"));
}

TEST_F(ServerAnswersTest, RefusesAChunkThatWouldMakeTheBodyTooLong) {
  EXPECT_EQ(ask("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nabcde\r\n4\r\n")
                .status,
            413);
}

TEST_F(ServerAnswersTest, AnswersUnknownPathsWith404AndWrongMethodsWith405AndAllow) {
  const RawAnswer missing = ask("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.header("Content-Type"), "application/problem+json");
  const RawAnswer wrong = ask("DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "GET, HEAD");
  EXPECT_EQ(ask("BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n").status, 501);
  EXPECT_EQ(ask("TRACE /hello HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
}

TEST_F(ServerAnswersTest, AnswersAThrowingHandlerWith500AndGoesOn) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /throw HTTP/1.1\r\nHost: a\r\n\r\n"));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, Not(HasSubstr("secret")));
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer().body, "hello");
}

TEST_F(ServerAnswersTest, StreamsInChunksAndKeepsTheConnection) {
  RawConnection connection(start());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(connection.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
    const RawAnswer answer = connection.answer();
    EXPECT_TRUE(answer.chunked);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.body, "one two three");
  }
}

TEST_F(ServerAnswersTest, StreamsUntilCloseToAnHttp10Client) {
  const RawAnswer answer = ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_FALSE(answer.chunked);
  EXPECT_EQ(answer.body, "one two three");
}

TEST_F(ServerAnswersTest, LeavesABrokenStreamWithoutItsLastChunk) {
  const RawAnswer answer = ask("GET /break HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.body, "half");
  EXPECT_FALSE(answer.complete);
}

TEST_F(ServerAnswersTest, EchoesASaneRequestIdAndMakesOneUpOtherwise) {
  EXPECT_EQ(
      ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: a.b-c_1\r\n\r\n").header("X-Request-Id"),
      "a.b-c_1");
  const std::string made_up =
      ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n").header("X-Request-Id");
  EXPECT_EQ(made_up.size(), 16U);
}

TEST_F(ServerAnswersTest, AnswersHeadOfAStreamWithoutStartingIt) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer(true).header("Transfer-Encoding"), "chunked");
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer().body, "hello");
}

TEST_F(ServerAnswersTest, NeverSendsAHeaderThatWouldSplitTheAnswer) {
  const RawAnswer answer = ask("GET /split HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.header("X-Injected"), "(none)");
}

TEST_F(ServerAnswersTest, AnswersAnUnknownPathWithoutReadingItsBody) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.header("Connection"), "close");
}

TEST_F(ServerAnswersTest, ListensOnBothFamiliesWhenToldTheUnspecifiedAddress) {
  options_.host = "::";
  Result<std::unique_ptr<Server>> server = Server::listen(options_, router_);
  if (!server) GTEST_SKIP() << "needs IPv6: " << server.error();
  server_ = std::move(*server);
  server_->start();
  EXPECT_EQ(ask("GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n").header("X-Remote"), "127.0.0.1");
}

TEST_F(ServerAnswersTest, SpreadsOnePortOverSeveralThreads) {
  options_.threads = 3;
  start();
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").body, "hello");
  }
}

TEST_F(ServerAnswersTest, SaysWhichAddressItCannotHave) {
  options_.threads = 2;
  options_.port = start();
  const Result<std::unique_ptr<Server>> taken = Server::listen(options_, router_);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kConflict);
  EXPECT_THAT(taken.error().message, HasSubstr("127.0.0.1:" + std::to_string(options_.port)));
  options_.host = "192.0.2.1";  // reserved for documentation: nobody has it
  EXPECT_EQ(Server::listen(options_, router_).error().code, ErrorCode::kInvalid);
  options_.host = "not a host";
  EXPECT_EQ(Server::listen(options_, router_).error().code, ErrorCode::kInvalid);
}

TEST_F(ServerAnswersTest, CountsRequestsByRoutePatternAndNeverByPath) {
  observability::Metrics metrics;
  options_.metrics = &metrics;
  ask("GET /echo/one HTTP/1.1\r\nHost: a\r\n\r\n");
  ask("GET /echo/two HTTP/1.1\r\nHost: a\r\n\r\n");
  ask("GET /else/where HTTP/1.1\r\nHost: a\r\n\r\n");
  ask("BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  server_->stop(1s);
  const std::string text = metrics.render();
  server_.reset();
  const std::string name = "gpu_telemetry_http_request_duration_seconds_count";
  EXPECT_THAT(
      text, HasSubstr(name + R"({method="GET",route="/echo/{who}",server="api",status="200"} 2)"));
  EXPECT_THAT(text,
              HasSubstr(name + R"({method="GET",route="unmatched",server="api",status="404"} 1)"));
  EXPECT_THAT(
      text, HasSubstr(name + R"({method="other",route="unmatched",server="api",status="501"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(gpu_telemetry_http_open_connections{server="api"} 0)"));
}

TEST_F(ServerAnswersTest, LogsEachRequestOnceAndNeverItsQuery) {
  options_.log_requests = true;
  testing::internal::CaptureStderr();
  ask("GET /hello?token=secret HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n\r\n");
  server_->stop(1s);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("id-1"));
  EXPECT_EQ(text.find("id-1"), text.rfind("id-1"));
  EXPECT_THAT(text, HasSubstr(R"("path":"/hello")"));
  EXPECT_THAT(text, HasSubstr(R"("status":200)"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace gpu_telemetry::http
