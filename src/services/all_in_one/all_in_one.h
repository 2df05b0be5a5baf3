// The whole pipeline in one process: streamer -> queue -> collector -> embedded store -> API.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "concurrency/loop_thread.h"
#include "config/settings.h"
#include "domain/clock.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "services/api_gateway/api_gateway.h"
#include "services/assembly/assembly.h"
#include "services/collector/collector.h"
#include "services/queue_service/queue_gauges.h"
#include "services/service.h"
#include "services/streamer/streamer.h"

namespace gpu_telemetry::services {

class AllInOne final : public Service {
 public:
  // Opens everything and serves nothing yet: storage, queue, source and port, so that whatever is
  // wrong is one error before anything has begun. The settings are those of config::kAllInOne.
  static Result<std::unique_ptr<AllInOne>> open(const config::Settings& settings);
  ~AllInOne() override;

  // `on_end`: the source has ended for good, or has failed as the result says, and everything that
  // it said is stored.
  void start(OnEnd on_end) override;
  // Source, queue, storage, and the API last. What is left in a durable queue then stays there.
  bool stop() override;
  std::vector<std::pair<std::string, std::string>> addresses() const override;

 private:
  explicit AllInOne(const config::Settings& settings) : settings_(settings) {}

  Result<void> open_storage();
  Result<void> open_queue();
  Result<void> open_gateway();
  Result<void> add_queue_routes(http::Router& router);
  Result<void> open_source();
  boost::asio::awaitable<bool> queue_is_empty();
  boost::asio::awaitable<void> wait_until_stored(std::function<void()> then);
  bool drain_queue(std::chrono::milliseconds longest);

  const config::Settings settings_;
  observability::Metrics metrics_;
  observability::Health health_;
  QueueGauges queue_gauges_{metrics_, settings_};
  OpenStore store_;
  // What the streamer, the queue and the collector run on.
  concurrency::LoopThread pipeline_{"pipeline"};
  OpenQueue queue_;
  std::unique_ptr<Collector> collector_;
  std::unique_ptr<Streamer> streamer_;
  std::unique_ptr<ApiGateway> gateway_;
};

}  // namespace gpu_telemetry::services
