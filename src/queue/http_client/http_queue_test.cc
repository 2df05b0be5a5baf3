// What a client makes of the answers, and of those that do not come.
#include "queue/http_client/http_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <optional>

#include "concurrency/cancellable_task.h"
#include "http/scripted_server.h"
#include "http/server.h"

namespace gpu_telemetry::queue {
namespace {

namespace asio = boost::asio;
using testing::HasSubstr;

class HttpQueueTest : public testing::Test {
 protected:
  ~HttpQueueTest() override {
    queue_.reset();
    pool_.join();
    if (server_) server_->stop(std::chrono::milliseconds{0});
  }

  void answer_stats_with(http::Response answer) {
    http::Route route;
    route.pattern = "/api/v1/queue/stats";
    route.handler = [this, answer](http::Request& request) -> asio::awaitable<http::Response> {
      ++asked_;
      authorization_ = request.headers.get("Authorization");
      co_return answer;
    };
    http::Router router;
    ASSERT_TRUE(router.add(std::move(route)));
    http::ServerOptions options;
    options.port = 0;
    options.threads = 1;
    options.log_requests = false;
    server_ = *http::Server::listen(options, std::move(router));
    server_->start();
    options_.url = "http://127.0.0.1:" + std::to_string(server_->port());
  }
  Result<std::vector<TopicStatistics>> ask() {
    if (!queue_) queue_ = *make_http_queue(options_, pool_.get_executor());
    return asio::co_spawn(pool_, queue_->statistics(), asio::use_future).get();
  }

  asio::thread_pool pool_{1};
  HttpQueueOptions options_;
  std::string authorization_;
  std::atomic<int> asked_{0};
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<MessageQueue> queue_;
};

TEST_F(HttpQueueTest, APublishThatIsNeverAnsweredEndsWhenItIsCancelled) {
  using Server = http::ScriptedServer;
  Server server(Server::Script{Server::Answers{Server::kSilence}});
  options_.url = "http://127.0.0.1:" + std::to_string(server.port());
  queue_ = *make_http_queue(options_, pool_.get_executor());
  using Task = concurrency::CancellableTask<asio::thread_pool::executor_type>;
  const auto task = std::make_shared<Task>(pool_.get_executor());
  std::promise<std::optional<ErrorCode>> ended;
  std::vector<OutgoingMessage> messages(1);
  messages[0].payload = std::make_shared<std::string>("a payload");
  task->start(queue_->publish("telemetry", std::move(messages)),
              [&ended](const std::exception_ptr& thrown, const auto& published) {
                if (thrown) {
                  ended.set_value(ErrorCode::kCancelled);
                } else {
                  ended.set_value(published ? std::nullopt : std::optional(published.error().code));
                }
              });
  server.wait_for_requests(1);
  task->cancel();
  EXPECT_EQ(ended.get_future().get(), ErrorCode::kCancelled);
}

class StatusTest : public HttpQueueTest,
                   public testing::WithParamInterface<std::pair<int, ErrorCode>> {};

TEST_P(StatusTest, BecomesTheErrorThatACallerCanActOn) {
  const auto [status, code] = GetParam();
  http::Response answer = http::problem(status, "the reason");
  answer.headers.add("Retry-After", "7");
  answer_stats_with(answer);
  const auto result = ask();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code);
  EXPECT_THAT(result.error().message, HasSubstr("the reason"));
  EXPECT_THAT(result.error().message, HasSubstr("come again in 7 s"));
}

INSTANTIATE_TEST_SUITE_P(
    All, StatusTest,
    testing::Values(std::pair{400, ErrorCode::kInvalid}, std::pair{401, ErrorCode::kUnavailable},
                    std::pair{404, ErrorCode::kUnavailable}, std::pair{413, ErrorCode::kInvalid},
                    std::pair{415, ErrorCode::kInvalid}, std::pair{429, ErrorCode::kFull},
                    std::pair{500, ErrorCode::kUnavailable},
                    std::pair{503, ErrorCode::kUnavailable}));

TEST_F(HttpQueueTest, DoesNotAskAgainBeforeTheTimeThatTheServiceNames) {
  http::Response answer = http::problem(503, "the reason");
  answer.headers.add("Retry-After", "2");
  answer_stats_with(answer);
  const auto begin = std::chrono::steady_clock::now();
  while (asked_ < 2) EXPECT_THAT(ask().error().message, HasSubstr("the reason"));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds{2});
}

TEST_F(HttpQueueTest, WhatIsFullMayBeAskedForSomethingElse) {
  http::Response answer = http::problem(429, "full");
  answer.headers.add("Retry-After", "60");
  answer_stats_with(answer);
  EXPECT_EQ(ask().error().code, ErrorCode::kFull);
  EXPECT_EQ(ask().error().code, ErrorCode::kFull);
  EXPECT_EQ(asked_, 1);
  auto other = asio::co_spawn(pool_, queue_->delete_group("t", "g"), asio::use_future).get();
  EXPECT_EQ(other.error().code, ErrorCode::kNotFound);  // as the server has no such route
}

TEST_F(HttpQueueTest, WhoeverAnswersSomethingElseIsNotAQueueService) {
  answer_stats_with(http::text_response(200, "welcome to nginx"));
  EXPECT_EQ(ask().error().code, ErrorCode::kUnavailable);
  http::Response garbage;
  garbage.headers.add("Content-Type", "application/x-gpu-telemetry-queue");
  garbage.body = "GTQ";
  queue_.reset();
  server_->stop(std::chrono::milliseconds{0});
  answer_stats_with(garbage);
  EXPECT_EQ(ask().error().code, ErrorCode::kUnavailable);
}

TEST_F(HttpQueueTest, ALeaseThatIsNotAnsweredForMayBeRenewedBeforeItEnds) {
  asio::io_context io;
  const asio::ip::tcp::acceptor silent(io, {asio::ip::address_v4::loopback(), 0});
  options_.url = "http://127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  queue_ = *make_http_queue(options_, pool_.get_executor());
  ShardRequest request;
  request.topic = "t";
  request.source = "s";
  request.member = "m";
  request.ttl = std::chrono::seconds{4};
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = asio::co_spawn(pool_, queue_->shards(request), asio::use_future).get();
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, request.ttl);
}

TEST_F(HttpQueueTest, NobodyThereIsUnavailable) {
  options_.url = "http://127.0.0.1:1";
  EXPECT_EQ(ask().error().code, ErrorCode::kUnavailable);
  options_.url = "queue-service:8080";
  EXPECT_EQ(make_http_queue(options_, pool_.get_executor()).error().code, ErrorCode::kInvalid);
}

TEST_F(HttpQueueTest, SendsTheTokenThatIsThereNow) {
  answer_stats_with(http::problem(401, "no"));
  std::string token = "first";
  options_.token = [&token] { return token; };
  EXPECT_FALSE(ask());
  EXPECT_EQ(authorization_, "Bearer first");
  token = "second";
  EXPECT_FALSE(ask());
  EXPECT_EQ(authorization_, "Bearer second");
}

}  // namespace
}  // namespace gpu_telemetry::queue
