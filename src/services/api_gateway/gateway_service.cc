#include "services/api_gateway/gateway_service.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "concurrency/spawn.h"
#include "observability/log.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;

namespace {

// Who may ask, as the settings say. Errors: kInvalid, kNotFound, kUnavailable, naming the setting.
Result<FrontDoorOptions> front_door_options(const config::Settings& settings) {
  FrontDoorOptions options;
  auto origins = parse_cors_origins(settings.cors_origins);
  if (!origins) return origins.error().at("CORS_ORIGINS");
  options.cors_origins = std::move(*origins);
  options.rate_limit = static_cast<double>(settings.api_rate_limit);
  if (settings.api_tokens_file.empty()) return options;
  auto tokens = open_tokens_file(settings.api_tokens_file, system_clock());
  if (!tokens) return tokens.error().at("API_TOKENS_FILE");
  options.tokens = std::move(*tokens);
  return options;
}

}  // namespace

Result<ApiGatewayOptions> gateway_options(const config::Settings& settings) {
  ApiGatewayOptions options;
  options.server.host = settings.api_host;
  options.server.port = static_cast<std::uint16_t>(settings.api_port);
  options.server.memory = settings.memory_limit;
  options.server.max_connections = static_cast<std::uint32_t>(settings.api_max_connections);
  auto tls = server_tls(settings);
  if (!tls) return tls.error();
  options.server.tls = std::move(*tls);
  auto front_door = front_door_options(settings);
  if (!front_door) return front_door.error();
  options.front_door = std::move(*front_door);
  options.pipeline.topic = settings.queue_topic;
  options.pipeline.consumer_group = settings.consumer_group;
  return options;
}

Result<std::unique_ptr<GatewayService>> GatewayService::open(const config::Settings& settings) {
  std::unique_ptr<GatewayService> service(new GatewayService(settings));
  observability::add_build_info(service->metrics_);
  if (auto opened = service->open_parts(); !opened) return opened.error();
  return service;
}

Result<void> GatewayService::open_parts() {
  auto store = open_store(settings_, metrics_);
  if (!store) return store.error();
  store_ = std::move(*store);
  auto options = gateway_options(settings_);
  if (!options) return options.error();
  if (!settings_.queue_service_url.empty()) {
    auto queue = connect_queue(settings_, loop_.executor());
    if (!queue) return queue.error();
    queue_ = std::move(*queue);
    options->pipeline.queue = queue_.queue.get();
  }
  auto gateway = ApiGateway::listen(std::move(*options), *store_.telemetry, *store_.gpus,
                                    system_clock(), health_, metrics_);
  if (!gateway) return gateway.error();
  gateway_ = std::move(*gateway);
  return {};
}

void GatewayService::start(OnEnd) {
  started_ = true;
  loop_.start();
  gateway_->start();
  if (store_.refresh) concurrency::spawn(loop_.executor(), refresh_store());
}

// Rotated credentials: the file is small, and looked at on the loop's own thread.
asio::awaitable<void> GatewayService::refresh_store() {
  constexpr std::chrono::seconds kOften{5};
  asio::steady_timer timer(loop_.context());
  while (true) {
    store_.refresh();
    timer.expires_after(kOften);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

bool GatewayService::stop() {
  started_ = false;
  health_.start_draining();
  observability::log_info("draining: running requests are answered");
  gateway_->stop(settings_.shutdown_grace);
  if (queue_.queue) queue_.queue->shut_down();
  loop_.stop();
  observability::log_info("stopped");
  return true;
}

GatewayService::~GatewayService() {
  if (started_) stop();
  queue_ = {};  // before the gateway, whose coroutines may still wait in it
}

std::vector<std::pair<std::string, std::string>> GatewayService::addresses() const {
  const std::string url =
      local_url(!settings_.tls_cert_file.empty(), settings_.api_host, gateway_->port());
  return {
      {"api", url + "/api/v1/gpus"}, {"health", url + "/health"}, {"metrics", url + "/metrics"}};
}

}  // namespace gpu_telemetry::services
