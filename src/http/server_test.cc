#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <thread>

#include "http/raw_connection.h"
#include "observability/metrics.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

asio::awaitable<Response> hello(Request&) { co_return text_response(200, "hello"); }

asio::awaitable<Response> echo(Request& request) {
  Response response = text_response(200, std::move(request.body));
  response.headers.add("X-Path", request.path);
  response.headers.add("X-Who", std::string(request.path_parameter("who")));
  response.headers.add("X-Query", std::string(request.query.get("q").value_or("(none)")));
  co_return response;
}

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

Route route(Method method, std::string pattern, Handler handler, std::size_t max_body = 0) {
  Route made;
  made.method = method;
  made.pattern = std::move(pattern);
  made.handler = std::move(handler);
  made.max_body = max_body;
  return made;
}

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    options_.port = 0;
    options_.threads = 1;
    options_.log_requests = false;
    add(Method::kGet, "/hello", hello);
    add(Method::kGet, "/echo/{who}", echo);
    add(Method::kPost, "/echo", echo);
    add(Method::kPost, "/small", echo, 8);
    add(Method::kGet, "/throw", throwing);
    add(Method::kGet, "/stream", streaming);
    add(Method::kGet, "/break", breaking);
  }

  void add(Method method, std::string pattern, Handler handler, std::size_t max_body = 0) {
    ASSERT_TRUE(router_.add(route(method, std::move(pattern), std::move(handler), max_body)));
  }

  std::uint16_t start() {
    Result<std::unique_ptr<Server>> server = Server::listen(options_, router_);
    EXPECT_TRUE(server) << server.error();
    server_ = std::move(*server);
    server_->start();
    return server_->port();
  }

  // The answer to these bytes on a connection of their own, and whether it was closed after it.
  RawAnswer ask(std::string_view bytes) {
    if (server_ == nullptr) start();
    RawConnection connection(server_->port());
    EXPECT_TRUE(connection.send(bytes));
    return connection.answer(bytes.substr(0, 5) == "HEAD ");
  }

  ServerOptions options_;
  Router router_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersSeveralRequestsOnOneConnection) {
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

TEST_F(ServerTest, ClosesWhenTheClientAsksForIt) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  EXPECT_EQ(connection.answer().header("Connection"), "close");
  EXPECT_TRUE(connection.closed());
}

TEST_F(ServerTest, ClosesAfterAnHttp10RequestUnlessItAsksToStay) {
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

TEST_F(ServerTest, AnswersHeadLikeGetWithoutTheBody) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  const RawAnswer head = connection.answer(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "5");
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer().body, "hello");
}

TEST_F(ServerTest, AnswersAHundredPipelinedRequestsInOrder) {
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

TEST_F(ServerTest, UnderstandsARequestThatArrivesByteByByte) {
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

TEST_F(ServerTest, ReadsALargeBody) {
  options_.max_body_size = 4_MiB;
  const std::string body(3 << 20, 'x');
  const RawAnswer answer =
      ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, body);
}

TEST_F(ServerTest, DecodesThePathBeforeItMatches) {
  const RawAnswer answer = ask("GET /ec%68o/a%20b HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.header("X-Path"), "/echo/a b");
  EXPECT_EQ(answer.header("X-Who"), "a b");
}

TEST_F(ServerTest, TakesTheAbsoluteFormOfATarget) {
  EXPECT_EQ(ask("GET http://a.example:80/hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").body, "hello");
}

TEST_F(ServerTest, SaysContinueBeforeItReadsABodyThatWaitsForIt) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(connection.answer().status, 100);
  ASSERT_TRUE(connection.send("abc"));
  EXPECT_EQ(connection.answer().body, "abc");
}

TEST_F(ServerTest, RefusesABodyThatIsTooLongBeforeItIsSent) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(
      "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_THAT(answer.body, HasSubstr("\"status\":413"));
}

TEST_F(ServerTest, RefusesAChunkThatWouldMakeTheBodyTooLong) {
  EXPECT_EQ(ask("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\r\nabcde\r\n4\r\n")
                .status,
            413);
}

TEST_F(ServerTest, AnswersUnknownPathsWith404AndWrongMethodsWith405AndAllow) {
  const RawAnswer missing = ask("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.header("Content-Type"), "application/problem+json");
  const RawAnswer wrong = ask("DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "GET, HEAD");
  EXPECT_EQ(ask("BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n").status, 501);
}

TEST_F(ServerTest, AnswersAThrowingHandlerWith500AndGoesOn) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /throw HTTP/1.1\r\nHost: a\r\n\r\n"));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, Not(HasSubstr("secret")));
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer().body, "hello");
}

TEST_F(ServerTest, StreamsInChunksAndKeepsTheConnection) {
  RawConnection connection(start());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(connection.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
    const RawAnswer answer = connection.answer();
    EXPECT_TRUE(answer.chunked);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.body, "one two three");
  }
}

TEST_F(ServerTest, StreamsUntilCloseToAnHttp10Client) {
  const RawAnswer answer = ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_FALSE(answer.chunked);
  EXPECT_EQ(answer.body, "one two three");
}

TEST_F(ServerTest, LeavesABrokenStreamWithoutItsLastChunk) {
  const RawAnswer answer = ask("GET /break HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.body, "half");
  EXPECT_FALSE(answer.complete);
}

TEST_F(ServerTest, EchoesASaneRequestIdAndMakesOneUpOtherwise) {
  EXPECT_EQ(
      ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: a.b-c_1\r\n\r\n").header("X-Request-Id"),
      "a.b-c_1");
  const std::string made_up =
      ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n").header("X-Request-Id");
  EXPECT_EQ(made_up.size(), 16U);
}

}  // namespace
}  // namespace gpu_telemetry::http
