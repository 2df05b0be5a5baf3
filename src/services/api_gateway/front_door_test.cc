// What happens before every handler and after every answer.
#include "services/api_gateway/front_door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <fstream>
#include <set>

#include "http/raw_connection.h"
#include "http/server.h"
#include "services/api_gateway/content_coding.h"
#include "services/api_gateway/media_type.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;
using ::testing::HasSubstr;

constexpr std::string_view kReader = "0123456789abcdef-reader";
constexpr std::string_view kAdmin = "0123456789abcdef-admin";

std::string gunzip(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string text(1 << 22, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

class FrontDoorTest : public ::testing::Test {
 protected:
  void start(FrontDoorOptions options = {}) {
    server_.reset();
    door_ = std::make_unique<FrontDoor>(std::move(options), clock_, pool_);
    http::Router router;
    const auto add = [&](http::Method method, const std::string& pattern, http::Handler handler) {
      http::Route route;
      route.method = method;
      route.pattern = pattern;
      route.handler = std::move(handler);
      http::ParameterDoc size;
      size.name = "size";
      size.in = "query";
      route.doc.parameters.push_back(size);
      ASSERT_TRUE(router.add(door_->guard(std::move(route))));
    };
    const auto text = [](http::Request& request) -> awaitable<http::Response> {
      const auto size = request.query.get("size").value_or("5");
      co_return http::json_response(200,
                                    "\"" + std::string(std::stoul(std::string(size)), 'x') + "\"");
    };
    add(http::Method::kGet, "/api/v1/text", text);
    add(http::Method::kPost, "/api/v1/text", text);
    add(http::Method::kGet, "/health", text);
    add(http::Method::kGet, "/page", text);
    add(http::Method::kGet, "/api/v1/pieces", [](http::Request&) -> awaitable<http::Response> {
      http::Response response = http::json_response(200, {});
      response.stream = [](http::BodyWriter& body) -> awaitable<Result<void>> {
        for (int i = 0; i < 3; ++i) {
          const std::string piece(10'000, static_cast<char>('a' + i));
          const auto written = co_await body.write(piece);
          if (!written) co_return written;
        }
        co_return Result<void>();
      };
      co_return response;
    });
    if (door_->has_cors()) {
      ASSERT_TRUE(router.add(door_->preflight("/api/v1/text", "GET, POST")));
    }
    http::ServerOptions server;
    server.port = 0;
    server.threads = 1;
    server.log_requests = false;
    auto listening = http::Server::listen(server, std::move(router));
    ASSERT_TRUE(listening) << listening.error();
    server_ = std::move(*listening);
    server_->start();
  }

  http::RawAnswer ask(const std::string& target, const std::string& headers = {},
                      const std::string& method = "GET") {
    http::RawConnection connection(server_->port());
    EXPECT_TRUE(
        connection.send(method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n"));
    return connection.answer(method == "HEAD");
  }

  ManualClock clock_{from_unix_milliseconds(1'760'000'000'000)};
  boost::asio::thread_pool pool_{1};
  std::unique_ptr<FrontDoor> door_;
  std::unique_ptr<http::Server> server_;
};

TEST_F(FrontDoorTest, AnUnknownParameterIsRefusedByName) {
  start();
  EXPECT_EQ(ask("/api/v1/text?size=3").status, 200);
  const auto refused = ask("/api/v1/text?sice=3");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("'sice' is not a parameter here; known are size"));
  EXPECT_EQ(ask("/page?anything=1").status, 200);
}

TEST_F(FrontDoorTest, AnAnswerThatHasNotChangedIs304) {
  start();
  const auto first = ask("/api/v1/text?size=3");
  const std::string tag = first.header("ETag");
  EXPECT_EQ(tag.size(), 34U);
  EXPECT_EQ(first.header("Cache-Control"), "no-cache");
  const auto again = ask("/api/v1/text?size=3", "If-None-Match: \"other\", W/" + tag + "\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.header("ETag"), tag);
  EXPECT_EQ(ask("/api/v1/text?size=4", "If-None-Match: " + tag + "\r\n").status, 200);
  const auto head = ask("/api/v1/text?size=3", {}, "HEAD");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("ETag"), tag);
  EXPECT_EQ(head.header("Content-Length"), "5");
  EXPECT_EQ(ask("/health").header("ETag"), "(none)");
}

TEST_F(FrontDoorTest, LongAnswersAreCompressedForWhoTakesGzip) {
  start();
  for (const std::string size : {"1022", "200000"}) {
    const std::string target = "/api/v1/text?size=" + size;
    const auto plain = ask(target);
    EXPECT_EQ(plain.header("Content-Encoding"), "(none)");
    EXPECT_EQ(plain.header("Vary"), "Accept-Encoding");
    const auto zipped = ask(target, "Accept-Encoding: br, gzip\r\n");
    EXPECT_EQ(zipped.header("Content-Encoding"), "gzip");
    EXPECT_EQ(gunzip(zipped.body), plain.body);
    EXPECT_NE(zipped.header("ETag"), plain.header("ETag"));
    for (const auto* answer : {&plain, &zipped}) {
      EXPECT_EQ(
          ask(target, "Accept-Encoding: gzip\r\nIf-None-Match: " + answer->header("ETag") + "\r\n")
              .status,
          304);
    }
  }
  EXPECT_EQ(ask("/api/v1/text?size=100", "Accept-Encoding: gzip\r\n").header("Content-Encoding"),
            "(none)");
  EXPECT_EQ(ask("/api/v1/text?size=2000", "Accept-Encoding: gzip;q=0, identity\r\n")
                .header("Content-Encoding"),
            "(none)");
}

TEST_F(FrontDoorTest, StreamsAreCompressedAsTheyGo) {
  start();
  const auto plain = ask("/api/v1/pieces");
  EXPECT_EQ(plain.body.size(), 30'000U);
  const auto zipped = ask("/api/v1/pieces", "Accept-Encoding: gzip\r\n");
  EXPECT_TRUE(zipped.complete);
  EXPECT_EQ(zipped.header("Content-Encoding"), "gzip");
  EXPECT_LT(zipped.body.size(), 1000U);
  EXPECT_EQ(gunzip(zipped.body), plain.body);
}

TEST_F(FrontDoorTest, TokensSayWhoMayReadAndWhoMayChange) {
  std::string tokens =
      "# of the dashboard\n" + std::string(kReader) + "\n" + std::string(kAdmin) + ":admin\r\n\n";
  FrontDoorOptions options;
  options.tokens = [&tokens] { return tokens; };
  start(options);
  const auto with = [](std::string_view token) {
    return "Authorization: Bearer " + std::string(token) + "\r\n";
  };
  const auto stranger = ask("/api/v1/text");
  EXPECT_EQ(stranger.status, 401);
  EXPECT_EQ(stranger.header("WWW-Authenticate"), "Bearer realm=\"gpu-telemetry\"");
  EXPECT_EQ(ask("/api/v1/text", with("0123456789abcdef-readeR")).status, 401);
  EXPECT_EQ(ask("/api/v1/text", "Authorization: Basic " + std::string(kReader) + "\r\n").status,
            401);
  EXPECT_EQ(ask("/api/v1/text", with(kReader)).status, 200);
  EXPECT_EQ(ask("/api/v1/text", "authorization: bearer " + std::string(kReader) + "\r\n").status,
            200);
  EXPECT_EQ(ask("/api/v1/text", with(kReader), "POST").status, 403);
  EXPECT_EQ(ask("/api/v1/text", with(kAdmin), "POST").status, 200);
  EXPECT_EQ(ask("/health").status, 200);
  EXPECT_EQ(ask("/page").status, 200);
  tokens = "0123456789abcdef-another:read\n";
  EXPECT_EQ(ask("/api/v1/text", with(kReader)).status, 401);
  EXPECT_EQ(ask("/api/v1/text", with("0123456789abcdef-another")).status, 200);
}

TEST_F(FrontDoorTest, AClientThatAsksTooOftenIsTold) {
  FrontDoorOptions options;
  options.rate_limit = 2;
  start(options);
  EXPECT_EQ(ask("/api/v1/text").status, 200);
  EXPECT_EQ(ask("/page").status, 200);
  const auto refused = ask("/api/v1/text");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_THAT(refused.body, HasSubstr("more than 2 requests in a second"));
  EXPECT_EQ(ask("/health").status, 200);
  clock_.advance(std::chrono::milliseconds{500});
  EXPECT_EQ(ask("/api/v1/text").status, 200);
  EXPECT_EQ(ask("/api/v1/text").status, 429);
}

TEST_F(FrontDoorTest, PagesOfNamedOriginsMayReadAnswers) {
  FrontDoorOptions options;
  options.cors_origins = {"https://grafana.example"};
  start(options);
  const auto named = ask("/api/v1/text", "Origin: https://grafana.example\r\n");
  EXPECT_EQ(named.header("Access-Control-Allow-Origin"), "https://grafana.example");
  const auto other = ask("/api/v1/text", "Origin: https://evil.example\r\n");
  EXPECT_EQ(other.status, 200);
  EXPECT_EQ(other.header("Access-Control-Allow-Origin"), "(none)");
  EXPECT_THAT(other.head, HasSubstr("Vary: Origin"));
  const auto preflight = ask("/api/v1/text",
                             "Origin: https://grafana.example\r\n"
                             "Access-Control-Request-Method: POST\r\n",
                             "OPTIONS");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("Access-Control-Allow-Methods"), "GET, POST");
  options.cors_origins = {"*"};
  start(options);
  EXPECT_EQ(ask("/api/v1/text").header("Access-Control-Allow-Origin"), "*");
}

TEST(ApiTokensTest, AFileIsReadAgainWhenItHasChanged) {
  const std::string path = ::testing::TempDir() + "api_tokens_" + std::to_string(::getpid());
  const auto write = [&](std::string_view text) { std::ofstream(path) << text; };
  ManualClock clock(from_unix_milliseconds(1'760'000'000'000));
  EXPECT_FALSE(open_tokens_file(path, clock));
  write("short\n");
  EXPECT_THAT(open_tokens_file(path, clock).error().message, HasSubstr(path + ": line 1"));
  write("0123456789abcdef\n");
  const auto text = open_tokens_file(path, clock);
  ASSERT_TRUE(text) << text.error();
  EXPECT_EQ((*text)(), "0123456789abcdef\n");
  write("fedcba9876543210\n");
  EXPECT_EQ((*text)(), "0123456789abcdef\n");
  clock.advance(std::chrono::seconds{1});
  EXPECT_EQ((*text)(), "fedcba9876543210\n");
  write("short\n");
  clock.advance(std::chrono::seconds{1});
  EXPECT_EQ((*text)(), "fedcba9876543210\n");
  ::unlink(path.c_str());
  clock.advance(std::chrono::seconds{1});
  EXPECT_EQ((*text)(), "fedcba9876543210\n");
}

TEST(CorsOriginsTest, AreSchemesHostsAndPorts) {
  const auto origins = parse_cors_origins(" https://a.example, http://b.example:3000 ,");
  ASSERT_TRUE(origins);
  EXPECT_EQ(*origins, (std::vector<std::string>{"https://a.example", "http://b.example:3000"}));
  EXPECT_TRUE(parse_cors_origins("")->empty());
  EXPECT_TRUE(parse_cors_origins("*"));
  for (const std::string_view bad : {"grafana.example", "https://a.example/", "://x", "https://"}) {
    EXPECT_FALSE(parse_cors_origins(bad)) << bad;
  }
}

TEST(ApiTokensTest, ALineThatIsNoneIsNamedAndNotShown) {
  const auto wrong = ApiTokens::check("0123456789abcdef\nsecret-0123456789:root\n");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "line 2 of the API tokens: after the colon comes read or admin");
  EXPECT_FALSE(ApiTokens::check("short\n"));
  EXPECT_FALSE(ApiTokens::check("0123456789abcdef with spaces\n"));
  EXPECT_TRUE(ApiTokens::check("# nothing\n\n"));
}

TEST(MediaTypeTest, TheBestLikedTypeIsChosen) {
  constexpr std::array<std::string_view, 3> kOffered = {"application/json", "text/csv",
                                                        "application/x-ndjson"};
  const auto chosen = [&](std::string_view accept) {
    return preferred_media_type(accept, kOffered).value_or("none");
  };
  EXPECT_EQ(chosen(""), "application/json");
  EXPECT_EQ(chosen("*/*"), "application/json");
  EXPECT_EQ(chosen("text/csv"), "text/csv");
  EXPECT_EQ(chosen("text/*, application/json;q=0.9"), "text/csv");
  EXPECT_EQ(chosen("application/json;q=0.1, application/x-ndjson"), "application/x-ndjson");
  EXPECT_EQ(chosen("text/html, */*;q=0.1"), "application/json");
  EXPECT_EQ(chosen("application/json;q=0, */*"), "text/csv");
  EXPECT_EQ(chosen("image/png"), "none");
}

TEST(EntityTagTest, DiffersWithEachByteAndLength) {
  std::set<std::string> tags;
  for (std::size_t size = 0; size < 100; ++size) {
    std::string body(size, 'a');
    tags.insert(entity_tag(body));
    for (std::size_t i = 0; i < size; ++i) {
      body[i] = 'b';
      tags.insert(entity_tag(body));
      body[i] = 'a';
    }
  }
  EXPECT_EQ(tags.size(), 100U + 99U * 100U / 2U);
}

}  // namespace
}  // namespace gpu_telemetry::services
