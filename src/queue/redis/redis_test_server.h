// A redis-server of a test's own: a free port, a folder of its own, gone with the object.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "queue/redis/redis_queue.h"

namespace gpu_telemetry::queue {

class RedisTestServer {
 public:
  // The path of redis-server; none when it is not installed.
  static std::optional<std::string> program();

  static std::uint16_t free_port();

  // `arguments` are added to the command line. Throws std::runtime_error when it does not come up.
  explicit RedisTestServer(std::vector<std::string> arguments = {});
  ~RedisTestServer();
  RedisTestServer(const RedisTestServer&) = delete;
  RedisTestServer& operator=(const RedisTestServer&) = delete;

  RedisServer address() const;
  // SIGKILL.
  void kill();
  // SIGSTOP, or SIGCONT.
  void freeze(bool frozen);
  // On the same port and folder; returns when it answers.
  void start();
  // Sends one command over a connection of its own and returns the raw reply's beginning.
  std::string ask(const std::vector<std::string>& command) const;

 private:
  std::vector<std::string> arguments_;
  std::string directory_;
  std::uint16_t port_ = 0;
  pid_t process_ = -1;
};

}  // namespace gpu_telemetry::queue
