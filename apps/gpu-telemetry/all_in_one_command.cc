#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "commands.h"
#include "observability/log.h"
#include "services/all_in_one/all_in_one.h"

namespace gpu_telemetry::app {
namespace {

namespace asio = boost::asio;

// Runs until SIGTERM, SIGINT or `quit`; then stops the service while a second signal ends the
// process at once.
class Lifetime {
 public:
  explicit Lifetime(services::AllInOne& service) : service_(service) {}

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

  services::AllInOne& service_;
  asio::io_context control_{1};
  asio::signal_set signals_{control_, SIGINT, SIGTERM};
  std::thread stopper_;
  bool drained_ = false;
  bool source_failed_ = false;
};

std::string api_url(const config::Settings& settings, std::uint16_t port) {
  std::string host = settings.api_host;
  if (host == "::" || host == "0.0.0.0") host = "localhost";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return "http://" + host + ":" + std::to_string(port);
}

}  // namespace

int run_all_in_one(const config::Settings& settings) {
  auto service = services::AllInOne::open(settings);
  if (!service) {
    complain(service.error().message);
    return kFailure;
  }
  Lifetime lifetime(**service);
  (*service)->start([&](const Result<void>& source) {
    if (settings.exit_at_end) lifetime.quit(!source);
  });
  const std::string url = api_url(settings, (*service)->port());
  observability::log_info(
      "ready",
      {{"api", url + "/api/v1/gpus"}, {"health", url + "/health"}, {"metrics", url + "/metrics"}});
  return lifetime.run();
}

}  // namespace gpu_telemetry::app
