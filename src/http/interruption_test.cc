// What a handler hears of a client that leaves and a server that stops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <future>

#include "http/client.h"
#include "http/server_fixture.h"
#include "http/stream.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr std::string_view kWait = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";

std::string to_text(Interruption::Why why) {
  switch (why) {
    case Interruption::Why::kNone:
      return "none";
    case Interruption::Why::kClientLeft:
      return "client left";
    case Interruption::Why::kServerStops:
      break;
  }
  return "server stops";
}

asio::awaitable<void> wait_for(Interruption& interruption) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, asio::steady_timer::time_point::max());
  interruption.notify([&timer] { timer.cancel(); });
  co_await timer.async_wait(kAsTuple);
}

class InterruptionTest : public ServerTest {
 protected:
  InterruptionTest() {
    add(Method::kGet, "/wait", [this](Request& request) { return wait(request); });
    add(Method::kGet, "/stream", [this](Request& request) { return stream(request); });
  }
  ~InterruptionTest() override {
    if (server_) server_->stop(0ms);
  }

  asio::awaitable<Response> wait(Request& request) {
    started_.set_value();
    co_await wait_for(*request.interruption);
    const std::string why = to_text(request.interruption->why());
    ended_.set_value(why);
    co_return text_response(200, why);
  }

  asio::awaitable<Response> stream(Request& request) {
    Response response;
    response.stream = [this, &request](BodyWriter& writer) {
      return write(writer, *request.interruption);
    };
    co_return response;
  }
  asio::awaitable<Result<void>> write(BodyWriter& writer, Interruption& interruption) {
    const Result<void> written = co_await writer.write("begun");
    if (!written) co_return written;
    started_.set_value();
    co_await wait_for(interruption);
    ended_.set_value(to_text(interruption.why()));
    co_return Result<void>();
  }

  std::promise<void> started_;
  std::promise<std::string> ended_;
};

TEST_F(InterruptionTest, TellsAHandlerThatItsClientClosed) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(kWait));
  started_.get_future().wait();
  connection.reset();
  EXPECT_EQ(ended_.get_future().get(), "client left");
}

TEST_F(InterruptionTest, AnswersAClientThatClosedOnlyItsSendingHalf) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(kWait));
  connection.finish_sending();
  EXPECT_EQ(connection.answer().body, "client left");
}

TEST_F(InterruptionTest, TellsAHandlerThatTheServerStops) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send(kWait));
  started_.get_future().wait();
  server_->stop(20s);
  EXPECT_EQ(connection.answer().body, "server stops");
}

TEST_F(InterruptionTest, TellsAStreamThatItsClientClosed) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
  started_.get_future().wait();
  connection.reset();
  EXPECT_EQ(ended_.get_future().get(), "client left");
}

TEST_F(InterruptionTest, EndsAStreamWholeWhenTheServerStops) {
  RawConnection connection(start());
  ASSERT_TRUE(connection.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
  started_.get_future().wait();
  server_->stop(20s);
  const RawAnswer answer = connection.answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, "begun");
}

TEST_F(InterruptionTest, ServesTheNextRequestAfterOneThatWasWatched) {
  Handler glance = [](Request& request) -> asio::awaitable<Response> {
    request.interruption->notify([] {});
    co_return text_response(200, to_text(request.interruption->why()));
  };
  add(Method::kGet, "/glance", glance);
  RawConnection connection(start());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(connection.send("GET /glance HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_EQ(connection.answer().body, "none");
  }
}

class HangupTest : public InterruptionTest {
 protected:
  HangupTest() {
    ClientOptions options;
    options.base_url = "http://127.0.0.1:" + std::to_string(start());
    client_ = *Client::create(options, pool_.get_executor());
    request_.target = "/wait";
    request_.hangup = std::make_shared<Hangup>();
  }
  ~HangupTest() override {
    client_.reset();
    pool_.join();
  }

  asio::thread_pool pool_{1};
  std::shared_ptr<Client> client_;
  ClientRequest request_;
};

TEST_F(HangupTest, TellsTheServerAndStillReturnsTheAnswer) {
  const auto hangup = request_.hangup;
  auto answer = asio::co_spawn(pool_, client_->send(request_), asio::use_future);
  started_.get_future().wait();
  hangup->hang_up();
  const Result<ClientResponse> got = answer.get();
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->body, "client left");
}

TEST_F(HangupTest, ARequestThatHasNotLeftStays) {
  request_.hangup->hang_up();
  auto answer = asio::co_spawn(pool_, client_->send(request_), asio::use_future);
  EXPECT_EQ(answer.get().error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace gpu_telemetry::http
