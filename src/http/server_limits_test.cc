// What a server does with clients that are wrong, slow, many or hostile, and when it stops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <future>
#include <thread>

#include "http/server_fixture.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

asio::awaitable<void> pause(std::chrono::milliseconds time) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

// What the handlers of these tests share with them.
struct Stage {
  std::promise<void> entered;
  std::atomic<bool> leave{false};
  std::promise<Error> stream_error;
  std::atomic<std::uint64_t> accepted{0};  // bytes that a stream's writer took
};

// How many of one client's requests were served when another's came.
struct Turns {
  std::promise<void> begun;
  std::promise<void> go_on;
  int served = 0;
  int seen = 0;
};

class ServerLimitsTest : public ServerTest {
 protected:
  ServerLimitsTest() {
    add(Method::kGet, "/wait", [this](Request&) { return wait(stage_); });
    add(Method::kGet, "/endless", [this](Request&) { return endless(stage_); });
    add(Method::kGet, "/large", [this](Request&) { return large(stage_); });
    add(Method::kGet, "/other", [this](Request&) { return large(other_stage_); });
    add(Method::kGet, "/count", [this](Request&) { return count(turns_); });
    add(Method::kGet, "/look", [this](Request&) { return look(turns_); });
  }

  static asio::awaitable<Response> wait(Stage& stage) {
    stage.entered.set_value();
    while (!stage.leave) co_await pause(1ms);
    co_return text_response(200, "waited");
  }

  static asio::awaitable<Result<void>> write_until_stopping(Stage& stage, BodyWriter& writer) {
    stage.entered.set_value();
    while (!writer.stopping()) {
      const Result<void> written = co_await writer.write("tick ");
      if (!written) co_return written.error();
      co_await pause(1ms);
    }
    const Result<void> written = co_await writer.write("end");
    co_return written;
  }

  static asio::awaitable<Response> endless(Stage& stage) {
    Response response;
    response.stream = [&stage](BodyWriter& writer) { return write_until_stopping(stage, writer); };
    co_return response;
  }

  static asio::awaitable<Result<void>> write_large(Stage& stage, BodyWriter& writer) {
    std::string chunk(64 << 10, '\0');
    for (char letter = 0; letter < 64; ++letter) {
      for (char& c : chunk) c = static_cast<char>('0' + letter);
      for (int i = 0; i < 8; ++i) {
        const Result<void> written = co_await writer.write(chunk);
        if (!written) {
          stage.stream_error.set_value(written.error());
          co_return written.error();
        }
        stage.accepted += chunk.size();
      }
    }
    co_return Result<void>();
  }

  // 32 MiB in chunks of 64 KiB.
  static asio::awaitable<Response> large(Stage& stage) {
    Response response;
    response.stream = [&stage](BodyWriter& writer) { return write_large(stage, writer); };
    co_return response;
  }

  // The first one holds the loop until it is told to go on.
  static asio::awaitable<Response> count(Turns& turns) {
    if (turns.served++ == 0) {
      turns.begun.set_value();
      turns.go_on.get_future().get();
    }
    co_return text_response(200, "");
  }
  static asio::awaitable<Response> look(Turns& turns) {
    turns.seen = turns.served;
    co_return text_response(200, "");
  }

  Stage stage_;
  Stage other_stage_;
  Turns turns_;
};

struct Refused {
  const char* why;
  std::string bytes;
  int status;
};

class RefusedRequestTest : public ServerTest, public testing::WithParamInterface<Refused> {};

TEST_P(RefusedRequestTest, IsAnsweredWithAProblemAndClosed) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(GetParam().bytes));
  const RawAnswer answer = connection.answer();
  EXPECT_EQ(answer.status, GetParam().status) << GetParam().why;
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(answer.header("Content-Type"), "application/problem+json");
}

const std::string kNul(1, '\0');

INSTANTIATE_TEST_SUITE_P(
    Http, RefusedRequestTest,
    testing::Values(
        Refused{"garbage", "\x16\x03\x01\x02", 400},
        Refused{"no version", "GET /hello\r\n\r\n", 400},
        Refused{"two spaces", "GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"version 2", "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        Refused{"bare LF", "GET /hello HTTP/1.1\nHost: a\n\n", 400},
        Refused{"bare CR", "GET /hello HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
        Refused{"NUL in a header", "GET /hello HTTP/1.1\r\nHost: a" + kNul + "\r\n\r\n", 400},
        Refused{"folded line", "GET /hello HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400},
        Refused{"first header folded", "GET /hello HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        Refused{"space before colon", "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        Refused{"no colon", "GET /hello HTTP/1.1\r\nHost\r\n\r\n", 400},
        Refused{"no host", "GET /hello HTTP/1.1\r\n\r\n", 400},
        Refused{"a host that is none", "GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
        Refused{"another host in the target", "GET http://b/hello HTTP/1.1\r\nHost: a\r\n\r\n",
                400},
        Refused{"two hosts", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        Refused{"fragment", "GET /hello#x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"no slash", "GET hello HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"bad percent", "GET /hel%6 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"bad percent in the query", "GET /hello?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"NUL in the path", "GET /hel%00lo HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"path not UTF-8", "GET /hel%fflo HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"bytes past ASCII", "GET /h\xC3\xBC HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refused{"length and chunked",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400},
        Refused{"chunked and length",
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                "Content-Length: 5\r\n\r\n0\r\n\r\n",
                400},
        Refused{"two lengths",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                400},
        Refused{"list of lengths",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
        Refused{"signed length",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400},
        Refused{"huge length",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                413},
        Refused{"two codings",
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        Refused{"chunked twice",
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400},
        Refused{"chunked in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Refused{"other expectation",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: magic\r\n\r\n",
                417},
        Refused{"negative chunk",
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
        Refused{"chunk with bare LF",
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
                400},
        Refused{"chunk longer than its size",
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
                400},
        Refused{"many headers",
                [] {
                  std::string many = "GET /hello HTTP/1.1\r\nHost: a\r\n";
                  for (int i = 0; i < 200; ++i) many += "a:b\r\n";
                  return many + "\r\n";
                }(),
                431},
        Refused{"long target", "GET /" + std::string(9 << 10, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n",
                414},
        Refused{"endless target", "GET /" + std::string(64 << 10, 'x'), 414},
        Refused{"endless header",
                "GET /hello HTTP/1.1\r\nHost: a\r\nX: " + std::string(64 << 10, 'x'), 431},
        Refused{"endless body",
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nabc", 413}));

TEST_F(ServerLimitsTest, SkipsEmptyLinesBeforeARequest) {
  EXPECT_EQ(ask("\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n").body, "hello");
}

TEST_F(ServerLimitsTest, AnswersARequestLineThatIsNotCompletedInTimeWith408) {
  options_.read_timeout = 40ms;
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /hello HT"));
  EXPECT_EQ(connection.answer().status, 408);
  EXPECT_TRUE(connection.closed());
}

TEST_F(ServerLimitsTest, ADripOfBytesDoesNotBuyMoreTime) {
  options_.read_timeout = 60ms;
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nX: "));
  std::thread drip([&] {
    while (connection.send("x")) std::this_thread::sleep_for(1ms);
  });
  EXPECT_EQ(connection.answer().status, 408);
  drip.join();
}

TEST_F(ServerLimitsTest, AnswersABodyThatIsNotCompletedInTimeWith408) {
  options_.read_timeout = 40ms;
  start();
  EXPECT_EQ(ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").status, 408);
  EXPECT_EQ(
      ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab").status,
      408);
}

TEST_F(ServerLimitsTest, ClosesAnIdleConnectionWithoutAWord) {
  options_.idle_timeout = 40ms;
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(connection.answer().status, 200);
  EXPECT_TRUE(connection.closed());
}

TEST_F(ServerLimitsTest, DoesNotTimeAHandlerOut) {
  options_.read_timeout = options_.idle_timeout = options_.write_timeout = 20ms;
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
  stage_.entered.get_future().get();
  RawConnection later(server_->port());
  ASSERT_TRUE(later.send("GET /hello"));
  EXPECT_EQ(later.answer().status, 408) << "the time is over";
  stage_.leave = true;
  EXPECT_EQ(connection.answer().body, "waited");
}

TEST_F(ServerLimitsTest, AReaderThatStopsHoldsTheWriterBackAndIsCutAfterTheWriteTimeOut) {
  options_.write_timeout = 80ms;
  RawConnection connection(start(), 4096);
  ASSERT_TRUE(connection.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
  const Error error = stage_.stream_error.get_future().get();
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_THAT(error.message, testing::HasSubstr("too slowly"));
  EXPECT_LT(stage_.accepted, 16U << 20);
}

TEST_F(ServerLimitsTest, ASlowReaderGetsEveryByte) {
  RawConnection connection(start(), 64 << 10);
  ASSERT_TRUE(connection.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  const std::string all = connection.receive_all();
  EXPECT_THAT(all, testing::EndsWith("\r\n0\r\n\r\n"));
  std::array<std::size_t, 256> counts{};
  for (const char c : all) ++counts[static_cast<unsigned char>(c)];
  for (std::size_t letter = 0; letter < 64; ++letter) EXPECT_GE(counts['0' + letter], 8U << 16);
}

TEST_F(ServerLimitsTest, AClientThatLeavesEndsItsStream) {
  start();
  {
    RawConnection connection(server_->port(), 4096);
    ASSERT_TRUE(connection.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
  }
  EXPECT_EQ(stage_.stream_error.get_future().get().code, ErrorCode::kUnavailable);
}

TEST_F(ServerLimitsTest, RefusesConnectionsPastTheLimitAndRecovers) {
  options_.max_connections = 1;
  start();
  {
    RawConnection first(server_->port());
    ASSERT_TRUE(first.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_EQ(first.answer().status, 200);
    const RawAnswer refused = ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.header("Connection"), "close");
    EXPECT_EQ(refused.header("Retry-After"), "1");
  }
  int status = 503;  // until the server has seen the first one leave
  while (status == 503) status = ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").status;
  EXPECT_EQ(status, 200);
}

TEST_F(ServerLimitsTest, HasFewerConnectionsWhenTheMemoryIsSmall) {
  options_.memory = 512_KiB;  // an eighth for connections of 16 KiB, of which one is refused
  std::vector<std::unique_ptr<RawConnection>> held;
  start();
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<RawConnection>(server_->port()));
    ASSERT_TRUE(held.back()->send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_EQ(held.back()->answer().status, 200);
  }
  EXPECT_EQ(ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").status, 503);
}

TEST_F(ServerLimitsTest, RefusesABodyThatTheMemoryHasNoRoomForAtAll) {
  options_.memory = 8_MiB;  // an eighth for bodies
  options_.max_body_size = 2_MiB;
  const std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ";
  EXPECT_EQ(ask(head + "1048577\r\n\r\n").status, 413);
  EXPECT_EQ(ask(head + "1000000\r\n\r\n" + std::string(1'000'000, 'x')).status, 200);
}

TEST_F(ServerLimitsTest, RefusesBodiesThatTogetherAreMoreThanItHolds) {
  options_.max_bodies = 128_KiB;
  options_.max_body_size = 100_KiB;
  const std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 102400\r\n\r\n";
  RawConnection first(start());
  const std::string body(100 << 10, 'x');
  ASSERT_TRUE(first.send(head + body.substr(1)));  // one byte is missing
  const std::string hello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
  for (int i = 0; i < 30; ++i) EXPECT_EQ(ask(hello).status, 200);  // turns in which it arrives
  const RawAnswer refused = ask(head + body);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_EQ(ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").body, "hello");
  ASSERT_TRUE(first.send("x"));
  EXPECT_EQ(first.answer().body, body);
  int status = 503;  // until the first one's body is forgotten
  while (status == 503) status = ask(head + body).status;
  EXPECT_EQ(status, 200);
}

TEST_F(ServerLimitsTest, GivesUpTheAnswerThatWaitedLongestWhenThoseThatWaitAreTooMuch) {
  options_.max_unsent = 100_KiB;  // one chunk of 64 KiB
  RawConnection first(start(), 4096);
  ASSERT_TRUE(first.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
  std::uint64_t before = 0;
  do {  // until it is held back
    before = stage_.accepted;
    std::this_thread::sleep_for(20ms);
  } while (before == 0 || before != stage_.accepted);
  RawConnection second(server_->port(), 4096);
  ASSERT_TRUE(second.send("GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(stage_.stream_error.get_future().get().message, testing::HasSubstr("too slowly"));
  EXPECT_TRUE(second.receive_all().ends_with("\r\n0\r\n\r\n"));
}

TEST_F(ServerLimitsTest, OneWhoSendsManyRequestsAtOnceDoesNotKeepOthersWaiting) {
  RawConnection greedy(start());
  std::string many;
  for (int i = 0; i < 100; ++i) many += "GET /count HTTP/1.1\r\nHost: a\r\n\r\n";
  ASSERT_LT(many.size(), 4096U);  // in one read
  ASSERT_TRUE(greedy.send(many));
  turns_.begun.get_future().get();
  RawConnection other(server_->port());
  ASSERT_TRUE(other.send("GET /look HTTP/1.1\r\nHost: a\r\n\r\n"));
  turns_.go_on.set_value();
  EXPECT_EQ(other.answer().status, 200);
  EXPECT_LT(turns_.seen, 50);
}

TEST_F(ServerLimitsTest, AGateAnswersBeforeTheBodyIsRead) {
  Route route;
  route.method = Method::kPost;
  route.pattern = "/gated";
  route.handler = echo;
  route.gate = [](const Request& request) -> std::optional<Response> {
    if (request.headers.contains("Key")) return std::nullopt;
    return problem(401, "no key");
  };
  ASSERT_TRUE(router_.add(std::move(route)));
  const std::string head = "POST /gated HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
  const RawAnswer refused = ask(head + "\r\n");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_EQ(ask(head + "Key: 1\r\n\r\nhello").body, "hello");
}

TEST_F(ServerLimitsTest, StoppingClosesIdleConnectionsAndLetsRequestsEnd) {
  RawConnection idle(start());
  ASSERT_TRUE(idle.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(idle.answer().status, 200);
  RawConnection busy(server_->port());
  ASSERT_TRUE(busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
  stage_.entered.get_future().get();
  std::thread stopper([&] { server_->stop(10s); });
  EXPECT_TRUE(idle.closed());
  stage_.leave = true;
  const RawAnswer answer = busy.answer();
  EXPECT_EQ(answer.body, "waited");
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_TRUE(busy.closed());
  stopper.join();
}

TEST_F(ServerLimitsTest, StoppingLetsAStreamEndItself) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n"));
  stage_.entered.get_future().get();
  std::thread stopper([&] { server_->stop(10s); });
  const RawAnswer answer = connection.answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_THAT(answer.body, testing::EndsWith("end"));
  stopper.join();
}

TEST_F(ServerLimitsTest, StoppingCutsWhatIsLeftAfterTheGrace) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
  stage_.entered.get_future().get();
  const auto before = std::chrono::steady_clock::now();
  server_->stop(20ms);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 900ms);  // its handler was cancelled
  EXPECT_TRUE(connection.closed());
}

TEST_F(ServerLimitsTest, StoppingLetsAnUnfinishedRequestArrive) {
  RawConnection connection(start());
  ASSERT_TRUE(
      connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                      "Expect: 100-continue\r\n\r\n"));
  EXPECT_EQ(connection.answer().status, 100);  // it is being read
  std::thread stopper([&] { server_->stop(10s); });
  ASSERT_TRUE(connection.send("late"));
  EXPECT_EQ(connection.answer().body, "late");
  stopper.join();
}

TEST_F(ServerLimitsTest, StopsTwiceAndWithoutHavingStarted) {
  auto never_started = *Server::listen(options_, router_);
  never_started->stop(1s);
  start();
  server_->stop(1s);
  server_->stop(1s);
}

}  // namespace
}  // namespace gpu_telemetry::http
