#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "commands.h"
#include "observability/log.h"
#include "services/all_in_one/all_in_one.h"
#include "services/api_gateway/gateway_service.h"
#include "services/collector/collector_service.h"
#include "services/queue_service/queue_service.h"
#include "services/streamer/streamer_service.h"

namespace gpu_telemetry::app {
namespace {

namespace asio = boost::asio;

// Runs until SIGTERM, SIGINT or `quit`; then stops the service while a second signal ends the
// process at once.
class Lifetime {
 public:
  explicit Lifetime(services::Service& service) : service_(service) {}

  // The end of the source, for --exit-at-end. Thread-safe.
  void quit(bool source_failed) {
    asio::post(control_, [this, source_failed] {
      source_failed_ = source_failed;
      begin_to_stop();
    });
  }

  int run() {
    wait_for_signal();
    control_.run();
    stopper_.join();
    return drained_ && !source_failed_ ? kSuccess : kFailure;
  }

 private:
  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      if (stopper_.joinable()) {
        complain("second signal: leaving at once");
        std::_Exit(128 + signal);
      }
      observability::log_info("signal received",
                              {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
      begin_to_stop();
      wait_for_signal();
    });
  }

  void begin_to_stop() {
    if (stopper_.joinable()) return;
    stopper_ = std::thread([this] {
      drained_ = service_.stop();
      control_.stop();
    });
  }

  services::Service& service_;
  asio::io_context control_{1};
  asio::signal_set signals_{control_, SIGINT, SIGTERM};
  std::thread stopper_;
  bool drained_ = false;
  bool source_failed_ = false;
};

// The line that says that the process serves; whether it can do its work, /readyz knows.
void log_addresses(const std::vector<std::pair<std::string, std::string>>& addresses) {
  const auto& first = addresses.at(0);
  const auto& second = addresses.at(1);
  const auto& third = addresses.at(2);
  observability::log_info(
      "ready",
      {{first.first, first.second}, {second.first, second.second}, {third.first, third.second}});
}

// A connection is a file. The soft limit is low for programs that use select(), which this one does
// not; without leave to raise it the servers take fewer connections, and say so.
void raise_limit_of_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

template <class Kind>
int run_service(const config::Settings& settings) {
  raise_limit_of_open_files();
  auto service = Kind::open(services::fit_to_memory(settings));
  if (!service) {
    complain(service.error().message);
    return kFailure;
  }
  Lifetime lifetime(**service);
  (*service)->start([&](const Result<void>& ended) {
    if (settings.exit_at_end) lifetime.quit(!ended);
  });
  log_addresses((*service)->addresses());
  return lifetime.run();
}

}  // namespace

int run_all_in_one(const config::Settings& settings) {
  return run_service<services::AllInOne>(settings);
}
int run_streamer(const config::Settings& settings) {
  return run_service<services::StreamerService>(settings);
}
int run_queue_service(const config::Settings& settings) {
  return run_service<services::QueueService>(settings);
}
int run_collector(const config::Settings& settings) {
  return run_service<services::CollectorService>(settings);
}
int run_api_gateway(const config::Settings& settings) {
  return run_service<services::GatewayService>(settings);
}

}  // namespace gpu_telemetry::app
