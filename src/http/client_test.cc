#include "http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>

#include "http/client_connection.h"
#include "http/scripted_server.h"
#include "http/server.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::HasSubstr;
using Answers = ScriptedServer::Answers;
using Script = ScriptedServer::Script;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

class ClientTest : public testing::Test {
 protected:
  ClientTest() : work_(asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  ~ClientTest() override {
    client_.reset();
    work_.reset();
    thread_.join();
  }

  void connect_to(std::uint16_t port) {
    options_.base_url = "http://127.0.0.1:" + std::to_string(port);
    Result<std::shared_ptr<Client>> client = Client::create(options_, context_.get_executor());
    ASSERT_TRUE(client) << client.error();
    client_ = *client;
  }

  Result<ClientResponse> send(ClientRequest request) {
    return asio::co_spawn(context_, client_->send(std::move(request)), asio::use_future).get();
  }
  Result<ClientResponse> get() { return send(ClientRequest{}); }

  ClientOptions options_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
  std::shared_ptr<Client> client_;
};

TEST_F(ClientTest, UsesOneConnectionForOneRequestAfterAnother) {
  ScriptedServer server(Script{Answers{kOk, kOk, kOk}});
  connect_to(server.port());
  for (int i = 0; i < 3; ++i) {
    const Result<ClientResponse> answer = get();
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body, "ok");
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, SendsMethodTargetHeadersAndBody) {
  ScriptedServer server(Script{Answers{kOk}});
  options_.base_url = "http://127.0.0.1:" + std::to_string(server.port()) + "/prefix/";
  client_ = *Client::create(options_, context_.get_executor());
  ClientRequest request;
  request.method = Method::kPost;
  request.target = "/x?y=1";
  request.headers.add("X-Kind", "test");
  request.body = "body";
  ASSERT_TRUE(send(std::move(request)));
  const std::string seen = server.received();
  EXPECT_THAT(seen, HasSubstr("POST /prefix/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
  EXPECT_THAT(seen, HasSubstr("\r\nContent-Length: 4\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nX-Kind: test\r\n"));
}

TEST_F(ClientTest, ReadsChunkedAnswersAndThoseThatEndWithTheConnection) {
  ScriptedServer server(
      Script{Answers{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                     "HTTP/1.1 503 Away\r\n\r\nuntil the end"}});
  connect_to(server.port());
  EXPECT_EQ(get()->body, "abc");
  const Result<ClientResponse> until_close = get();
  ASSERT_TRUE(until_close);
  EXPECT_EQ(until_close->status, 503);
  EXPECT_EQ(until_close->body, "until the end");
}

TEST_F(ClientTest, SkipsInterimAnswersAndExpectsNoBodyToHead) {
  ScriptedServer server(Script{
      Answers{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", kOk}});
  connect_to(server.port());
  ClientRequest head;
  head.method = Method::kHead;
  const Result<ClientResponse> answer = send(std::move(head));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->headers.get("content-length"), "9");
  EXPECT_EQ(get()->body, "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, SendsAnIdempotentRequestAgainWhenThePooledConnectionWasClosed) {
  // The first connection is closed when the second request has arrived on it.
  ScriptedServer server(Script{Answers{kOk, ""}, Answers{kOk}});
  connect_to(server.port());
  ASSERT_TRUE(get());
  const Result<ClientResponse> answer = get();
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(ClientTest, DoesNotSendAgainWhatMustNotBeDoneTwice) {
  ScriptedServer server(Script{Answers{kOk, ""}, Answers{kOk}});
  connect_to(server.port());
  ASSERT_TRUE(get());
  ClientRequest once;
  once.idempotent = false;
  const Result<ClientResponse> answer = send(std::move(once));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, DoesNotSendAgainOnAConnectionThatWasNew) {
  ScriptedServer server(Script{Answers{""}, Answers{kOk}});
  connect_to(server.port());
  EXPECT_EQ(get().error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(ClientTest, GivesUpAtTheTimeOutAndSaysSo) {
  ScriptedServer server(Script{Answers{ScriptedServer::kSilence}});
  connect_to(server.port());
  ClientRequest request;
  request.timeout = 30ms;
  request.target = "/slow?token=secret";
  const Result<ClientResponse> answer = send(std::move(request));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("/slow: no complete answer within 30ms"));
}

TEST_F(ClientTest, ReportsAServerThatIsNotThere) {
  std::uint16_t port = 0;
  {
    ScriptedServer gone(Script{});
    port = gone.port();
  }
  connect_to(port);
  EXPECT_EQ(get().error().code, ErrorCode::kUnavailable);
}

TEST_F(ClientTest, ReportsAnAnswerThatIsNotHttp) {
  for (const std::string_view bytes :
       {"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    ScriptedServer server(Script{Answers{bytes}});
    connect_to(server.port());
    EXPECT_EQ(get().error().code, ErrorCode::kCorrupt) << bytes;
  }
}

TEST_F(ClientTest, ReportsAnAnswerThatIsCutOrTooLarge) {
  options_.max_response_size = ByteSize{10};
  const std::pair<std::string_view, ErrorCode> cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", ErrorCode::kUnavailable},
      {"HTTP/1.1 200 OK\r\nTransfer-Enc", ErrorCode::kUnavailable},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut\r\n",
       ErrorCode::kUnavailable},
      {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", ErrorCode::kFull},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n", ErrorCode::kFull},
      {"HTTP/1.1 200 OK\r\n\r\nmore than ten bytes", ErrorCode::kFull},
  };
  for (const auto& [bytes, code] : cases) {
    ScriptedServer server(Script{Answers{bytes}});
    connect_to(server.port());
    EXPECT_EQ(get().error().code, code) << bytes;
  }
}

TEST_F(ClientTest, ACancelledRequestLeavesThePoolSound) {
  ScriptedServer server(Script{Answers{kOk, ScriptedServer::kSilence}, Answers{kOk}});
  connect_to(server.port());
  ASSERT_TRUE(get());
  asio::cancellation_signal signal;
  std::promise<void> ended;
  auto completed = [&ended](const std::exception_ptr&, const Result<ClientResponse>&) {
    ended.set_value();
  };
  asio::co_spawn(context_, client_->send(ClientRequest{}),
                 asio::bind_cancellation_slot(signal.slot(), std::move(completed)));
  server.wait_for_requests(2);
  asio::post(context_, [&signal] { signal.emit(asio::cancellation_type::terminal); });
  ended.get_future().get();
  const Result<ClientResponse> answer = get();
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(ClientTest, RefusesHeadersAndTargetsThatWouldBreakTheRequest) {
  connect_to(1);
  ClientRequest header;
  header.headers.add("X-A", "1\r\nX-B: 2");
  EXPECT_EQ(send(std::move(header)).error().code, ErrorCode::kInvalid);
  ClientRequest target;
  target.target = "/a b";
  EXPECT_EQ(send(std::move(target)).error().code, ErrorCode::kInvalid);
}

TEST_F(ClientTest, TalksToOurServerFromManyCoroutinesAtOnce) {
  Router router;
  Route route;
  route.method = Method::kPost;
  route.pattern = "/echo";
  route.handler = [](Request& request) -> asio::awaitable<Response> {
    co_return text_response(200, request.body);
  };
  ASSERT_TRUE(router.add(std::move(route)));
  ServerOptions options;
  options.port = 0;
  options.threads = 2;
  options.log_requests = false;
  auto server = *Server::listen(options, router);
  server->start();
  connect_to(server->port());
  asio::io_context other;  // callers on another executor than the client's
  std::vector<std::future<Result<ClientResponse>>> answers;
  for (int i = 0; i < 200; ++i) {
    ClientRequest request;
    request.method = Method::kPost;
    request.target = "/echo";
    request.body = std::string(static_cast<std::size_t>(i) * 1000, 'x');
    auto& caller = i % 2 == 0 ? context_ : other;
    answers.push_back(asio::co_spawn(caller, client_->send(std::move(request)), asio::use_future));
  }
  other.run();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Result<ClientResponse> answer = answers[i].get();
    ASSERT_TRUE(answer) << answer.error();
    EXPECT_EQ(answer->body.size(), i * 1000);
  }
  server->stop(1s);
}

TEST(OriginTest, ReadsUrlsAndRefusesOthers) {
  EXPECT_EQ(Origin::parse("http://a.example")->port, "80");
  const Result<Origin> secure = Origin::parse("https://a.example");
  EXPECT_EQ(secure->port, "443");
  EXPECT_EQ(secure->url(), "https://a.example");
  const Result<Origin> full = Origin::parse("HTTP://[::1]:8080/queue/");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->host, "::1");
  EXPECT_EQ(full->authority, "[::1]:8080");
  EXPECT_EQ(full->path_prefix, "/queue");
  for (const char* url :
       {"", "a.example", "http://", "http://:80", "http://a:0", "http://a:65536", "http://a:8x",
        "http://u@a", "http://[::1", "http://a?b", "http://[x]", "http://a b"}) {
    EXPECT_FALSE(Origin::parse(url)) << url;
  }
}

}  // namespace
}  // namespace gpu_telemetry::http
