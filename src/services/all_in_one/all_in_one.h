// The whole pipeline in one process: streamer -> queue -> collector -> embedded store -> API.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <thread>

#include "config/settings.h"
#include "domain/clock.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"
#include "services/all_in_one/queue_gauges.h"
#include "services/api_gateway/api_gateway.h"
#include "services/collector/collector.h"
#include "services/streamer/streamer.h"
#include "storage/embedded/embedded_store.h"

namespace gpu_telemetry::services {

class AllInOne {
 public:
  // Opens everything and serves nothing yet: storage, queue, source and port, so that whatever is
  // wrong is one error before anything has begun. The settings are those of config::kAllInOne.
  static Result<std::unique_ptr<AllInOne>> open(const config::Settings& settings);
  // stop() has returned, or start() was never called.
  ~AllInOne();

  // `on_end` runs, on some thread, once the source has ended for good, or has failed as the result
  // says, and everything that it said is stored.
  using OnEnd = std::function<void(const Result<void>& source)>;
  void start(OnEnd on_end);

  // Drains in the direction of the data: source, queue, storage, and the API last. Blocks, no
  // longer than the settings' shutdown_grace. What is left in a durable queue then stays there.
  // Returns whether everything was drained.
  bool stop();

  std::uint16_t port() const { return gateway_->port(); }

 private:
  explicit AllInOne(const config::Settings& settings);

  Result<void> open_storage();
  Result<void> open_queue();
  Result<void> open_gateway();
  Result<void> open_source();
  boost::asio::awaitable<bool> queue_is_empty();
  boost::asio::awaitable<void> wait_until_stored(std::function<void()> then);
  bool drain_queue(std::chrono::milliseconds longest);

  const config::Settings settings_;
  observability::Metrics metrics_;
  observability::Health health_;
  QueueGauges queue_gauges_{metrics_};
  std::mutex queue_gauges_mutex_;
  std::unique_ptr<storage::embedded::EmbeddedStore> store_;
  // What the streamer, the queue and the collector run on: one thread.
  boost::asio::io_context pipeline_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> pipeline_work_;
  std::shared_ptr<queue::MessageQueue> queue_;
  std::unique_ptr<Collector> collector_;
  std::unique_ptr<Streamer> streamer_;
  std::unique_ptr<ApiGateway> gateway_;
  std::thread pipeline_thread_;
};

}  // namespace gpu_telemetry::services
