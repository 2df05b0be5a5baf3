// The queue as a process of its own: its HTTP API over the engine of QUEUE_ENGINE.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "concurrency/loop_thread.h"
#include "config/settings.h"
#include "http/server.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "services/assembly/assembly.h"
#include "services/openapi/openapi.h"
#include "services/queue_service/queue_gauges.h"
#include "services/service.h"
#include "services/status/dependency_watch.h"

namespace gpu_telemetry::services {

// Adds the routes under /api/v1/queue, as the settings limit and guard them. `queue` outlives the
// server that uses the router. Errors: of QUEUE_TOKEN_FILE; kConflict.
Result<void> add_queue_api(http::Router& router, const config::Settings& settings,
                           queue::MessageQueue& queue);

class QueueService final : public Service {
 public:
  // The settings are those of config::kQueueService.
  static Result<std::unique_ptr<QueueService>> open(const config::Settings& settings);
  ~QueueService() override;

  void start(OnEnd on_end) override;
  bool stop() override;
  std::vector<std::pair<std::string, std::string>> addresses() const override;

 private:
  explicit QueueService(const config::Settings& settings) : settings_(settings) {}
  Result<void> open_queue();
  Result<void> listen();

  const config::Settings settings_;
  observability::Metrics metrics_;
  observability::Health health_;
  QueueGauges gauges_{metrics_, settings_};
  // Timers of the engine, connections to Redis.
  concurrency::LoopThread engine_{"queue engine"};
  std::shared_ptr<OpenApiDocument> document_ = std::make_shared<OpenApiDocument>();
  std::unique_ptr<http::Server> server_;  // its threads wait in the queue, so it goes after it
  OpenQueue queue_;
  std::optional<DependencyWatch> watch_;
};

}  // namespace gpu_telemetry::services
