#include "services/queue_service/queue_service.h"

#include <utility>

#include "observability/log.h"
#include "queue/http_api/queue_routes.h"
#include "services/queue_service/queue_document.h"
#include "services/status/status_routes.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;

Result<void> add_queue_api(http::Router& router, const config::Settings& settings,
                           queue::MessageQueue& queue) {
  queue::QueueApiOptions options;
  options.visibility_timeout = settings.visibility_timeout;
  auto token = secret_from_file("QUEUE_TOKEN_FILE", settings.queue_token_file);
  if (!token) return token.error();
  options.token = std::move(*token);
  return queue::add_queue_routes(router, std::move(options), queue);
}

Result<std::unique_ptr<QueueService>> QueueService::open(const config::Settings& settings) {
  std::unique_ptr<QueueService> service(new QueueService(settings));
  observability::add_build_info(service->metrics_);
  if (auto opened = service->open_queue(); !opened) return opened.error();
  if (auto listening = service->listen(); !listening) return listening.error();
  return service;
}

Result<void> QueueService::open_queue() {
  // Consumers are elsewhere, and may have outlived the service that had the queue open before.
  constexpr bool kConsumersAreLocal = false;
  auto queue = open_queue_engine(settings_, settings_.queue_data_dir, kConsumersAreLocal,
                                 engine_.executor(), health_);
  if (!queue) return queue.error();
  queue_ = std::move(*queue);
  if (queue_.check) watch_.emplace(engine_.executor(), health_, "redis", queue_.check);
  return {};
}

Result<void> QueueService::listen() {
  http::ServerOptions options;
  options.name = "queue";
  options.host = settings_.queue_host;
  options.port = static_cast<std::uint16_t>(settings_.queue_port);
  options.memory = settings_.memory_limit;
  options.metrics = &metrics_;
  options.log_level = observability::LogLevel::kDebug;  // thousands a second
  auto tls = server_tls(settings_);
  if (!tls) return tls.error();
  options.tls = std::move(*tls);
  http::Router router;
  StatusOptions status{system_clock(), health_, metrics_};
  status.before_metrics = [this]() -> asio::awaitable<void> {
    const auto topics = co_await queue_.queue->statistics();
    if (topics) gauges_.update(*topics);
  };
  if (auto added = add_status_routes(router, std::move(status)); !added) return added;
  if (auto added = add_queue_api(router, settings_, *queue_.queue); !added) return added;
  if (auto added = add_index_route(router); !added) return added;
  if (auto added = add_openapi_routes(router, queue_info(), document_); !added) return added;
  auto server = http::Server::listen(std::move(options), std::move(router));
  if (!server) return server.error();
  server_ = std::move(*server);
  return {};
}

void QueueService::start(OnEnd) {
  engine_.start();
  if (watch_) watch_->start();
  server_->start();
}

bool QueueService::stop() {
  health_.start_draining();
  observability::log_info("draining: consumers are answered or handed back, then the queue closes");
  server_->stop(settings_.shutdown_grace);
  queue_.queue->shut_down();
  engine_.stop();
  observability::log_info("stopped");
  return true;
}

QueueService::~QueueService() {
  if (engine_.is_running()) stop();
  queue_ = {};
}

std::vector<std::pair<std::string, std::string>> QueueService::addresses() const {
  const std::string url =
      local_url(!settings_.tls_cert_file.empty(), settings_.queue_host, server_->port());
  return {
      {"queue", url + "/api/v1/queue"}, {"health", url + "/health"}, {"metrics", url + "/metrics"}};
}

}  // namespace gpu_telemetry::services
