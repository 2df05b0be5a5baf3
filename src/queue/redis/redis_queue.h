// The queue on Redis 7.0 or newer: any number of processes serve one queue, and any may die.
//
// All state is in Redis; docs/formats/queue-redis.md has its keys and scripts. What was replied is
// as safe as Redis makes it: `check` says when its settings lose data. A connection that breaks is
// made again, with a pause that grows to 2 s and varies. A request that was sent and not answered
// ends with kUnavailable, and may have been done: publish again with the same deduplication id. A
// fetch whose answer is lost gives its messages back when their leases run out.
//
// Different from the contract's letter: totals count from the first use of the queue, over all
// processes; one fetch brings at most 1,000 messages.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "domain/clock.h"
#include "domain/result.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

struct RedisServer {
  std::string host = "127.0.0.1";
  std::uint16_t port = 6379;
  std::string unix_path;  // not empty: this socket, and neither host nor port
  std::uint32_t database = 0;
  std::string username;  // empty: Redis's default user
  // Asked at each connect, so that a rotated secret is found. Null or empty: no AUTH.
  std::function<std::string()> password;
  bool tls = false;
  std::string ca_file;  // with tls; empty: the system's certificates
};

// `host:port`, `host`, `[v6]:port`, `unix:/path`, or
// `redis[s]://[user[:password]@]host[:port][/db]` (user and password percent-encoded). Errors:
// kInvalid; never shows the password.
Result<RedisServer> parse_redis_server(std::string_view text);

struct RedisQueueOptions {
  QueueOptions queue;
  RedisServer server;
  // Queues of other names on the same Redis are apart. 1 to 100 of A-Z a-z 0-9 . _ -
  std::string name = "gpu-telemetry";
  std::chrono::milliseconds connect_timeout = std::chrono::seconds{3};
  // A connection that owes an answer for longer is given up.
  std::chrono::milliseconds reply_timeout = std::chrono::seconds{10};
  // How long a request waits for a connection before it fails with kUnavailable.
  std::chrono::milliseconds patience = std::chrono::seconds{3};
};

class RedisQueue : public MessageQueue {
 public:
  // Asks Redis, and names what is wrong with it for a queue: each a sentence, none when all is
  // well. (appendonly, appendfsync, maxmemory-policy; a Redis older than 7.0.)
  // Errors: kUnavailable, which is not ready.
  virtual Async<Result<std::vector<std::string>>> check() = 0;
  // For tests: Redis's time, as this object sees it, moves forward; what is due by then is handled.
  virtual void advance_time(std::chrono::milliseconds by) = 0;
};

// Does not connect yet: Redis may come up later. `clock` tells when waits end and outlives the
// queue. `io` runs the connections; its context outlives the queue and runs on a thread that is not
// blocked; the contexts of all callers outlive the queue too. Errors: kInvalid.
Result<std::unique_ptr<RedisQueue>> make_redis_queue(RedisQueueOptions options, const Clock& clock,
                                                     boost::asio::any_io_executor io);

}  // namespace gpu_telemetry::queue
