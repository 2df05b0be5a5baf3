// The streamer as a process of its own: a source, read into a queue elsewhere.
#pragma once

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

class StreamerService final : public Service {
 public:
  // The settings are those of config::kStreamer. The queue need not be there yet.
  static Result<std::unique_ptr<StreamerService>> open(const config::Settings& settings);
  ~StreamerService() override;

  // `on_end`: the source has ended for good and the queue has accepted everything, or reading
  // failed.
  void start(OnEnd on_end) override;
  bool stop() override;
  std::vector<std::pair<std::string, std::string>> addresses() const override;

 private:
  explicit StreamerService(const config::Settings& settings) : settings_(settings) {}
  Result<void> open_parts();

  const config::Settings settings_;
  observability::Metrics metrics_;
  observability::Health health_;
  concurrency::LoopThread loop_{"publisher"};
  OpenQueue queue_;
  std::optional<DependencyWatch> watch_;
  std::unique_ptr<Streamer> streamer_;
  std::unique_ptr<http::Server> status_;
};

}  // namespace gpu_telemetry::services
