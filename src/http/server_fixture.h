// For tests: a server on a free port, and routes to fill it with.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/raw_connection.h"
#include "http/server.h"

namespace gpu_telemetry::http {

inline boost::asio::awaitable<Response> hello(Request&) { co_return text_response(200, "hello"); }

inline boost::asio::awaitable<Response> echo(Request& request) {
  Response response = text_response(200, std::move(request.body));
  response.headers.add("X-Path", request.path);
  response.headers.add("X-Who", std::string(request.path_parameter("who")));
  response.headers.add("X-Query", std::string(request.query.get("q").value_or("(none)")));
  response.headers.add("X-Remote", request.remote_address);
  co_return response;
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
  }

  // Before what its handlers use is destroyed.
  void TearDown() override { server_.reset(); }

  void add(Method method, std::string pattern, Handler handler, std::size_t max_body = 0) {
    Route route;
    route.method = method;
    route.pattern = std::move(pattern);
    route.handler = std::move(handler);
    route.max_body = max_body;
    ASSERT_TRUE(router_.add(std::move(route)));
  }

  std::uint16_t start() {
    Result<std::unique_ptr<Server>> server = Server::listen(options_, router_);
    EXPECT_TRUE(server) << server.error();
    server_ = std::move(*server);
    server_->start();
    return server_->port();
  }

  // The answer to these bytes on a connection of their own.
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

}  // namespace gpu_telemetry::http
