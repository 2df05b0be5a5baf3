// One connection to Redis that is always there or being made: pipelined, in order, reconnecting.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "observability/log.h"
#include "queue/redis/redis_queue.h"
#include "queue/redis/redis_reply.h"
#include "queue/redis/redis_stream.h"

namespace gpu_telemetry::queue {

struct RedisConnectionOptions {
  RedisServer server;
  std::chrono::milliseconds connect_timeout{};
  std::chrono::milliseconds reply_timeout{};
  std::chrono::milliseconds patience{};
  // Commands sent first on each new connection, after AUTH and SELECT; an error ends it.
  std::vector<std::string> greeting;
  // Sent again, before the command that was refused, when Redis says NOSCRIPT.
  std::vector<std::string> scripts;
  // A subscriber: messages are given to `on_message`, on the connection's strand.
  std::function<void(std::string message)> on_message;
  // Each time that a connection is ready, and when it ends.
  std::function<void(bool connected)> on_change;
};

// Thread-safe. Held by shared_ptr: what is in flight keeps it alive until stop().
class RedisConnection : public std::enable_shared_from_this<RedisConnection> {
 public:
  using Answer = Result<RedisReply>;
  // Called once, on the strand; it posts to where it belongs.
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void complete(Answer answer) = 0;
  };

  RedisConnection(RedisConnectionOptions options, boost::asio::any_io_executor io);

  void start();
  // Refuses what comes after; what was sent may still be answered. Idempotent.
  void stop();

  // Null: nobody waits for the answer.
  void send(std::string command, std::unique_ptr<Handler> handler);

  // The answer, which may be an error of Redis (RedisReply::is_error). Errors: kUnavailable. Not
  // cancellable: it ends by itself, at the latest after `patience` and `reply_timeout`.
  boost::asio::awaitable<Answer> call(std::string command);
  // The same, but kCancelled as soon as the coroutine is cancelled: what was asked for may be done.
  boost::asio::awaitable<Answer> call_until_cancelled(std::string command);
  // The same of several, sent in one piece and answered in order.
  boost::asio::awaitable<std::vector<Answer>> call_all(std::vector<std::string> commands);

 private:
  struct Request {
    std::string bytes;
    std::unique_ptr<Handler> handler;
    SteadyTime since;
    bool retried = false;
  };
  struct Link;  // one connection while it lasts

  void enqueue(std::vector<Request> requests);
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<Result<void>> serve();
  boost::asio::awaitable<Result<void>> greet(Link& link);
  boost::asio::awaitable<Result<void>> read_replies(std::shared_ptr<Link> link);
  boost::asio::awaitable<void> write_requests(std::shared_ptr<Link> link);
  boost::asio::awaitable<void> watch();
  std::vector<std::string> opening() const;
  bool take_reply(RedisReply reply);
  void flush();
  void fail_sent(const Error& why);
  void fail_impatient(SteadyTime now);
  Error not_connected() const;

  const RedisConnectionOptions options_;
  boost::asio::strand<boost::asio::any_io_executor> strand_;
  // On the strand:
  boost::asio::steady_timer pause_;
  boost::asio::steady_timer watch_timer_;
  std::shared_ptr<Link> link_;
  std::deque<Request> waiting_;  // not sent
  std::deque<Request> sent_;     // not answered
  Error last_error_;
  observability::LogLimiter log_limiter_{1, std::chrono::seconds{10}};
  bool complained_ = false;
  bool stopping_ = false;
  // The last connection served before it ended: the next may be made at once.
  bool was_good_ = false;
};

namespace redis_detail {

// Resumes a coroutine on its own executor, and keeps that executor's context running until then.
template <class CoroutineHandler, class Value>
class Resume {
 public:
  explicit Resume(CoroutineHandler handler)
      : executor_(boost::asio::prefer(boost::asio::get_associated_executor(handler),
                                      boost::asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)) {}
  void operator()(Value value) {
    auto run = [handler = std::move(handler_), value = std::move(value)]() mutable {
      std::move(handler)(std::move(value));
    };
    boost::asio::post(executor_, std::move(run));
  }

 private:
  using Executor = std::decay_t<decltype(boost::asio::prefer(
      boost::asio::get_associated_executor(std::declval<CoroutineHandler&>()),
      boost::asio::execution::outstanding_work.tracked))>;
  Executor executor_;
  CoroutineHandler handler_;
};

}  // namespace redis_detail

}  // namespace gpu_telemetry::queue
