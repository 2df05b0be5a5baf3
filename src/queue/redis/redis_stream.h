// A connected byte stream to Redis: TCP, TLS or a Unix socket.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <memory>
#include <vector>

#include "domain/result.h"
#include "queue/redis/redis_queue.h"

namespace gpu_telemetry::queue {

// Used on one strand; one read and one write may be in flight.
class RedisStream {
 public:
  virtual ~RedisStream() = default;
  // Zero bytes only with an error.
  virtual boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer into,
                                                        boost::system::error_code& error) = 0;
  // All of it.
  virtual boost::asio::awaitable<void> write(const std::vector<boost::asio::const_buffer>& bytes,
                                             boost::system::error_code& error) = 0;
  // Ends what is in flight with an error.
  virtual void close() = 0;
};

// Errors: kUnavailable (unreachable, refused, too slow, certificate), kInvalid (CA file).
boost::asio::awaitable<Result<std::shared_ptr<RedisStream>>> connect_to_redis(
    const RedisServer& server, boost::asio::any_io_executor strand,
    std::chrono::milliseconds timeout);

// `host:port` or the path of the socket, for messages.
std::string describe(const RedisServer& server);

}  // namespace gpu_telemetry::queue
