// A service as its process sees it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "domain/result.h"

namespace gpu_telemetry::services {

// Opened by a function of its own, which reports everything that is wrong before anything has
// begun.
class Service {
 public:
  virtual ~Service() = default;

  // `on_end` runs, on some thread, when the service has nothing more to do (a source that has ended
  // for good and whose telemetry is safe), or cannot go on, as the result says. Most never end.
  using OnEnd = std::function<void(const Result<void>&)>;
  virtual void start(OnEnd on_end) = 0;

  // Drains in the direction of the data. Blocks, no longer than SHUTDOWN_GRACE. Returns whether
  // everything was drained.
  virtual bool stop() = 0;

  // What is served where, for the log: ("health", "http://127.0.0.1:9090/health") and the like.
  virtual std::vector<std::pair<std::string, std::string>> addresses() const = 0;
};

// http[s]://HOST:PORT that a person on this machine can open: a wildcard address becomes localhost.
std::string local_url(bool tls, const std::string& host, std::uint16_t port);

}  // namespace gpu_telemetry::services
