// The server and the client over TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>

#include "http/client.h"
#include "http/server_fixture.h"
#include "http/stream.h"
#include "tls/test_certificates.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::http {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::HasSubstr;
using tls::TestAuthority;
using tls::TestFiles;
using tls::TlsContext;

class TlsTest : public ServerTest {
 protected:
  TlsTest() : work_(asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  ~TlsTest() override {
    client_.reset();
    work_.reset();
    thread_.join();
  }

  void serve(const TestAuthority::Pair& pair) {
    auto context = TlsContext::for_server(files_.write("server.pem", pair.certificate),
                                          files_.write("server.key", pair.key), clock_);
    ASSERT_TRUE(context) << context.error();
    options_.tls = *context;
    start();
  }

  void trust(const TestAuthority& authority, const std::string& host = "localhost") {
    ClientOptions options;
    options.base_url = "https://" + host + ":" + std::to_string(server_->port());
    auto context = TlsContext::for_client(files_.write("ca.pem", authority.certificate()), clock_);
    ASSERT_TRUE(context) << context.error();
    options.tls = *context;
    connect(std::move(options));
  }

  void connect(ClientOptions options) {
    auto client = Client::create(std::move(options), context_.get_executor());
    ASSERT_TRUE(client) << client.error();
    client_ = *client;
  }

  std::future<Result<ClientResponse>> begin(ClientRequest request) {
    return asio::co_spawn(context_, client_->send(std::move(request)), asio::use_future);
  }
  Result<ClientResponse> get(std::string target = "/hello") {
    ClientRequest request;
    request.target = std::move(target);
    return begin(std::move(request)).get();
  }

  ManualClock clock_{from_unix_milliseconds(0)};
  TestFiles files_;
  TestAuthority authority_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
  std::shared_ptr<Client> client_;
};

TEST_F(TlsTest, AnswersThoseWhoTrustItsAuthority) {
  serve(authority_.issue("DNS:localhost,IP:127.0.0.1"));
  for (const char* host : {"localhost", "127.0.0.1"}) {
    trust(authority_, host);
    for (int i = 0; i < 3; ++i) {
      const auto answer = get();
      ASSERT_TRUE(answer) << answer.error();
      EXPECT_EQ(answer->body, "hello");
    }
  }
}

TEST_F(TlsTest, CarriesBodiesOfManyRecordsBothWays) {
  options_.max_body_size = 8_MiB;
  serve(authority_.issue("DNS:localhost"));
  trust(authority_);
  ClientRequest request;
  request.method = Method::kPost;
  request.target = "/echo";
  for (int i = 0; request.body.size() < 3'000'000; ++i) request.body += std::to_string(i);
  const auto answer = begin(request).get();
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->body, request.body);
}

TEST_F(TlsTest, AClientRefusesACertificateOfAnotherAuthority) {
  serve(TestAuthority().issue("DNS:localhost"));
  trust(authority_);
  const auto answer = get();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("certificate is not accepted"));
}

TEST_F(TlsTest, AClientRefusesACertificateOfAnotherHost) {
  serve(authority_.issue("DNS:elsewhere.example"));
  trust(authority_);
  const auto answer = get();
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("ostname mismatch"));
}

TEST_F(TlsTest, AClientRefusesACertificateThatHasEnded) {
  serve(authority_.issue("DNS:localhost", -1));
  trust(authority_);
  const auto answer = get();
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("expired"));
}

TEST_F(TlsTest, TheSystemsAuthoritiesAreTrustedWhenNoneAreNamed) {
  serve(authority_.issue("DNS:localhost"));
  ClientOptions options;
  options.base_url = "https://localhost:" + std::to_string(server_->port());
  connect(std::move(options));
  const auto answer = get();
  ASSERT_FALSE(answer) << "they do not know this test's authority";
  EXPECT_THAT(answer.error().message, HasSubstr("certificate is not accepted"));
}

TEST_F(TlsTest, WhoSpeaksPlainHttpIsLeftWithoutAnAnswerAndOthersAreServed) {
  serve(authority_.issue("DNS:localhost"));
  RawConnection plain(server_->port());
  ASSERT_TRUE(plain.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(plain.receive_all(), Not(HasSubstr("hello")));
  trust(authority_);
  EXPECT_TRUE(get());
}

TEST_F(TlsTest, CiphersHaveForwardSecrecyAndAuthenticatedEncryption) {
  const auto pair = authority_.issue("DNS:localhost");
  auto context = TlsContext::for_server(files_.write("server.pem", pair.certificate),
                                        files_.write("server.key", pair.key), clock_);
  ASSERT_TRUE(context) << context.error();
  const auto* const ciphers = SSL_CTX_get_ciphers((*context)->current()->native_handle());
  ASSERT_GT(sk_SSL_CIPHER_num(ciphers), 0);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* const cipher = sk_SSL_CIPHER_value(ciphers, i);
    EXPECT_TRUE(SSL_CIPHER_is_aead(cipher)) << SSL_CIPHER_get_name(cipher);
    const int exchange = SSL_CIPHER_get_kx_nid(cipher);
    EXPECT_TRUE(exchange == NID_kx_ecdhe || exchange == NID_kx_any)  // any: of TLS 1.3
        << SSL_CIPHER_get_name(cipher);
  }
}

TEST_F(TlsTest, AClientThatNeverFinishesItsHandshakeIsCut) {
  options_.read_timeout = 100ms;
  serve(authority_.issue("DNS:localhost"));
  RawConnection silent(server_->port());
  EXPECT_TRUE(silent.closed());
}

TEST_F(TlsTest, NewFilesAreUsedByConnectionsThatBeginAfterwards) {
  serve(authority_.issue("DNS:localhost"));
  const TestAuthority next("next authority");
  const auto pair = next.issue("DNS:localhost");
  // Half of the pair: the old one stays in force.
  files_.write("server.pem", pair.certificate);
  clock_.advance(2s);
  trust(authority_);
  EXPECT_TRUE(get());
  files_.write("server.key", pair.key);
  clock_.advance(2s);
  trust(next);
  const auto answer = get();
  EXPECT_TRUE(answer) << answer.error();
}

TEST_F(TlsTest, AClientTrustsAnAuthorityThatIsAddedLater) {
  const TestAuthority next("next authority");
  serve(next.issue("DNS:localhost"));
  trust(authority_);
  EXPECT_FALSE(get());
  files_.write("ca.pem", authority_.certificate() + next.certificate());
  clock_.advance(2s);
  const auto answer = get();
  EXPECT_TRUE(answer) << answer.error();
}

// Waits until the server stops or the client leaves, and says which.
asio::awaitable<Response> wait_for_interruption(Request& request) {
  const auto executor = co_await asio::this_coro::executor;
  auto timer =
      std::make_shared<asio::steady_timer>(executor, std::chrono::steady_clock::time_point::max());
  request.interruption->notify([timer] { timer->cancel(); });
  co_await timer->async_wait(kAsTuple);
  const bool left = request.interruption->why() == Interruption::Why::kClientLeft;
  co_return text_response(200, left ? "left" : "stops");
}

TEST_F(TlsTest, AClientThatHangsUpIsNoticedWhileItsAnswerIsMade) {
  add(Method::kGet, "/wait", wait_for_interruption);
  serve(authority_.issue("DNS:localhost"));
  trust(authority_);
  ClientRequest request;
  request.target = "/wait";
  request.hangup = std::make_shared<Hangup>();
  auto answer = begin(request);
  EXPECT_EQ(answer.wait_for(50ms), std::future_status::timeout);
  request.hangup->hang_up();
  const auto got = answer.get();
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->body, "left");
}

TEST_F(TlsTest, DrainsLikePlainHttp) {
  add(Method::kGet, "/wait", wait_for_interruption);
  serve(authority_.issue("DNS:localhost"));
  trust(authority_);
  ASSERT_TRUE(get());
  auto answer = asio::co_spawn(context_, client_->send([] {
    ClientRequest request;
    request.target = "/wait";
    return request;
  }()),
                               asio::use_future);
  EXPECT_EQ(answer.wait_for(50ms), std::future_status::timeout);
  server_->stop(5s);
  const auto got = answer.get();
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(got->body, "stops");
}

TEST(TlsContext, FilesThatCannotBeUsedAreNamed) {
  const TestFiles files;
  const ManualClock clock(from_unix_milliseconds(0));
  const TestAuthority authority;
  const auto one = authority.issue("DNS:a");
  const auto other = authority.issue("DNS:b");
  const std::string certificate = files.write("a.pem", one.certificate);
  const std::string key = files.write("b.key", other.key);
  const auto mixed = TlsContext::for_server(certificate, key, clock);
  ASSERT_FALSE(mixed);
  EXPECT_THAT(mixed.error().message, HasSubstr("a.pem"));
  EXPECT_THAT(mixed.error().message, HasSubstr("b.key"));
  const auto swapped = TlsContext::for_server(key, certificate, clock);
  ASSERT_FALSE(swapped);
  EXPECT_THAT(swapped.error().message, HasSubstr("no PEM certificate"));
  const auto absent = TlsContext::for_client("/nowhere/ca.pem", clock);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace gpu_telemetry::http
