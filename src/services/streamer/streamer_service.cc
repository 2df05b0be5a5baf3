#include "services/streamer/streamer_service.h"

#include <utility>

#include "observability/log.h"
#include "services/status/status_server.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services {

Result<std::unique_ptr<StreamerService>> StreamerService::open(const config::Settings& settings) {
  std::unique_ptr<StreamerService> service(new StreamerService(settings));
  observability::add_build_info(service->metrics_);
  if (auto opened = service->open_parts(); !opened) return opened.error();
  return service;
}

Result<void> StreamerService::open_parts() {
  auto source = open_source(settings_);
  if (!source) return source.error();
  auto queue = connect_queue(settings_, loop_.executor());
  if (!queue) return queue.error();
  queue_ = std::move(*queue);
  watch_.emplace(loop_.executor(), health_, "queue", queue_.check);
  streamer_ =
      std::make_unique<Streamer>(shared_streamer_options(settings_), std::move(*source),
                                 *queue_.queue, wire::batch_codec(), metrics_, loop_.executor());
  auto tls = server_tls(settings_);
  if (!tls) return tls.error();
  auto status =
      listen_for_status(settings_.metrics_host, static_cast<std::uint16_t>(settings_.metrics_port),
                        std::move(*tls), {system_clock(), health_, metrics_});
  if (!status) return status.error();
  status_ = std::move(*status);
  return {};
}

void StreamerService::start(OnEnd on_end) {
  loop_.start();
  watch_->start();
  status_->start();
  streamer_->start(std::move(on_end));
}

bool StreamerService::stop() {
  health_.start_draining();
  observability::log_info("draining: what was read is published");
  streamer_->stop(settings_.shutdown_grace);
  status_->stop(std::chrono::milliseconds{0});
  queue_.queue->shut_down();
  loop_.stop();
  const StreamerCounts counts = streamer_->counts();
  observability::log_info("stopped", {{"samples_published", counts.samples_published},
                                      {"messages_published", counts.messages_published}});
  return true;
}

StreamerService::~StreamerService() {
  if (loop_.is_running()) stop();
}

std::vector<std::pair<std::string, std::string>> StreamerService::addresses() const {
  const std::string url =
      local_url(!settings_.tls_cert_file.empty(), settings_.metrics_host, status_->port());
  return {{"queue", settings_.queue_service_url.substr(settings_.queue_service_url.find('@') + 1)},
          {"health", url + "/health"},
          {"metrics", url + "/metrics"}};
}

}  // namespace gpu_telemetry::services
