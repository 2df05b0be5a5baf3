// The collector as a process of its own: from a queue elsewhere into a shared store.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>

#include "concurrency/loop_thread.h"
#include "config/settings.h"
#include "http/server.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "services/assembly/assembly.h"
#include "services/service.h"
#include "services/status/dependency_watch.h"

namespace gpu_telemetry::services {

class CollectorService final : public Service {
 public:
  // The settings are those of config::kCollector. Neither the queue nor storage need be there yet.
  static Result<std::unique_ptr<CollectorService>> open(const config::Settings& settings);
  ~CollectorService() override;

  void start(OnEnd on_end) override;  // never ends by itself
  bool stop() override;
  std::vector<std::pair<std::string, std::string>> addresses() const override;

 private:
  explicit CollectorService(const config::Settings& settings) : settings_(settings) {}
  Result<void> open_parts();
  boost::asio::awaitable<Result<std::vector<std::string>>> ask_storage();

  const config::Settings settings_;
  observability::Metrics metrics_;
  observability::Health health_;
  OpenStore store_;
  // Asks storage whether it is well: a call that may hang longer than a write should wait.
  boost::asio::thread_pool storage_asker_{1};
  concurrency::LoopThread loop_{"collector"};
  OpenQueue queue_;
  std::optional<DependencyWatch> queue_watch_;
  std::optional<DependencyWatch> storage_watch_;
  std::unique_ptr<Collector> collector_;
  std::unique_ptr<http::Server> status_;
};

}  // namespace gpu_telemetry::services
