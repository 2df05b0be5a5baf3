// For tests: a server with the queue's routes over an engine in memory, and raw requests to it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "domain/clock.h"
#include "http/raw_connection.h"
#include "http/server.h"
#include "queue/http_api/queue_routes.h"
#include "queue/memory/memory_queue.h"

namespace gpu_telemetry::queue {

class QueueApiTest : public testing::Test {
 protected:
  ~QueueApiTest() override {
    if (server_) server_->stop(std::chrono::milliseconds{0});
    timers_.stop();
    if (timers_thread_.joinable()) timers_thread_.join();
  }

  // The queue's own time passes: its clock is the machine's.
  void let_time_pass() {
    timers_thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(timers_);
      timers_.run();
    });
    passing_ = &system_clock();
  }

  void start() {
    queue_ = make_memory_queue(queue_options_, *passing_, timers_.get_executor());
    http::Router router;
    ASSERT_TRUE(add_queue_routes(router, api_options_, *queue_));
    http::ServerOptions options;
    options.port = 0;
    options.threads = 1;
    options.log_requests = false;
    auto server = http::Server::listen(options, std::move(router));
    ASSERT_TRUE(server) << server.error();
    server_ = std::move(*server);
    server_->start();
  }
  std::uint16_t port() {
    if (!server_) start();
    return server_->port();
  }

  static std::string request(const std::string& method, const std::string& path,
                             const std::string& body = {}, const std::string& headers = {}) {
    std::string text = method + " /api/v1/queue/" + path + " HTTP/1.1\r\nHost: a\r\n" + headers;
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + body;
  }
  http::RawAnswer ask(const std::string& text) {
    http::RawConnection connection(port());
    EXPECT_TRUE(connection.send(text));
    return connection.answer(text.substr(0, 5) == "HEAD ");
  }
  http::RawAnswer get(const std::string& path) { return ask(request("GET", path)); }
  http::RawAnswer post(const std::string& path, const std::string& body) {
    return ask(request("POST", path, body));
  }
  // What stands between `before` and the next quote.
  static std::string text_after(const std::string& body, const std::string& before) {
    const std::size_t at = body.find(before);
    if (at == std::string::npos) return "(none)";
    const std::size_t start = at + before.size();
    return body.substr(start, body.find('"', start) - start);
  }
  http::RawAnswer fetch(const std::string& more = {}) {
    return get("fetch?topic=telemetry&consumer_group=g" + more);
  }
  std::string fetch_receipt() { return text_after(fetch().body, R"("receipt":")"); }
  std::string publish(const std::string& payload) {
    const auto answer = post("publish", R"({"topic":"telemetry","payload":")" + payload + R"("})");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return text_after(answer.body, R"("message_id":")");
  }
  http::RawAnswer settle(const std::string& route, const std::string& more) {
    return post(route, R"({"topic":"telemetry","consumer_group":"g",)" + more + "}");
  }

  ManualClock clock_{from_unix_milliseconds(1'760'000'000'000)};
  const Clock* passing_ = &clock_;
  boost::asio::io_context timers_;
  std::thread timers_thread_;
  QueueOptions queue_options_;
  QueueApiOptions api_options_;
  std::unique_ptr<LedgerQueue> queue_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace gpu_telemetry::queue
