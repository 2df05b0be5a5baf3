#include "services/collector/collector_service.h"

#include <utility>

#include "concurrency/async_offload.h"
#include "observability/log.h"
#include "services/status/status_server.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;

Result<std::unique_ptr<CollectorService>> CollectorService::open(const config::Settings& settings) {
  std::unique_ptr<CollectorService> service(new CollectorService(settings));
  observability::add_build_info(service->metrics_);
  if (auto opened = service->open_parts(); !opened) return opened.error();
  return service;
}

Result<void> CollectorService::open_parts() {
  auto store = open_store(settings_, metrics_);
  if (!store) return store.error();
  store_ = std::move(*store);
  auto queue = connect_queue(settings_, loop_.executor());
  if (!queue) return queue.error();
  queue_ = std::move(*queue);
  queue_watch_.emplace(loop_.executor(), health_, "queue", queue_.check);
  storage_watch_.emplace(loop_.executor(), health_, "storage", [this] { return ask_storage(); });
  collector_ = std::make_unique<Collector>(collector_options(settings_), *queue_.queue,
                                           *store_.telemetry, *store_.gpus, wire::batch_codec(),
                                           system_clock(), metrics_, loop_.executor());
  auto tls = server_tls(settings_);
  if (!tls) return tls.error();
  auto status =
      listen_for_status(settings_.metrics_host, static_cast<std::uint16_t>(settings_.metrics_port),
                        std::move(*tls), {system_clock(), health_, metrics_});
  if (!status) return status.error();
  status_ = std::move(*status);
  return {};
}

asio::awaitable<Result<std::vector<std::string>>> CollectorService::ask_storage() {
  auto ask = [this]() -> Result<void> {
    if (store_.refresh) store_.refresh();
    return store_.telemetry->check_health();
  };
  const auto answer = co_await concurrency::async_offload(storage_asker_, ask);
  if (!answer) co_return answer.error();
  co_return std::vector<std::string>();
}

void CollectorService::start(OnEnd) {
  loop_.start();
  queue_watch_->start();
  storage_watch_->start();
  status_->start();
  collector_->start();
}

bool CollectorService::stop() {
  health_.start_draining();
  observability::log_info("draining: writes end and are acknowledged, the rest is handed back");
  // The last sightings of GPUs are written in what is left of the time.
  const bool drained = collector_->stop(settings_.shutdown_grace * 3 / 4);
  if (!drained) {
    observability::log_warn("the time to drain ran out: what was leased comes again by its timeout",
                            {{"grace", format_duration(settings_.shutdown_grace)}});
  }
  status_->stop(std::chrono::milliseconds{0});
  queue_.queue->shut_down();
  loop_.stop();
  observability::log_info("stopped", {{"drained", drained}});
  return drained;
}

CollectorService::~CollectorService() {
  if (loop_.is_running()) stop();
  storage_asker_.join();
}

std::vector<std::pair<std::string, std::string>> CollectorService::addresses() const {
  const std::string url =
      local_url(!settings_.tls_cert_file.empty(), settings_.metrics_host, status_->port());
  return {{"queue", settings_.queue_service_url.substr(settings_.queue_service_url.find('@') + 1)},
          {"health", url + "/health"},
          {"metrics", url + "/metrics"}};
}

}  // namespace gpu_telemetry::services
