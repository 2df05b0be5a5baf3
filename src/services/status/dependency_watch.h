// Asks a dependency now and then, so that readiness is known before anybody asks and no probe waits
// for a server that is away.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>
#include <vector>

#include "domain/result.h"
#include "observability/health.h"

namespace gpu_telemetry::services {

// Runs on one executor. Every 5 s, and every second while the dependency does not answer.
class DependencyWatch {
 public:
  // Whether it can be used, and sentences about what is unsafe there, which are logged when they
  // change and do not make it unready.
  using Ask = std::function<boost::asio::awaitable<Result<std::vector<std::string>>>()>;

  // `health` outlives the watch; its condition `name` does not hold before the first answer.
  DependencyWatch(boost::asio::any_io_executor executor, observability::Health& health,
                  std::string name, Ask ask);
  // Nothing of it may run any more: the executor's context has stopped, or start() was not called.
  ~DependencyWatch() = default;

  void start();
  // Asks no more. On the executor, or when its context has stopped.
  void stop();

 private:
  boost::asio::awaitable<void> run();
  void note(const Result<std::vector<std::string>>& answer);

  const boost::asio::any_io_executor executor_;
  observability::Health& health_;
  const std::string name_;
  const Ask ask_;
  boost::asio::steady_timer timer_;
  std::vector<std::string> warnings_;
  bool stopping_ = false;
};

}  // namespace gpu_telemetry::services
