#include "observability/log.h"
#include "queue/durable/durable_queue.h"
#include "queue/http_client/http_queue.h"
#include "queue/memory/memory_queue.h"
#include "queue/redis/redis_queue.h"
#include "services/assembly/assembly.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::any_io_executor;

queue::QueueOptions queue_options(const config::Settings& settings) {
  queue::QueueOptions options;
  options.visibility_timeout = settings.visibility_timeout;
  options.max_retries = static_cast<std::uint32_t>(settings.max_retries);
  options.max_messages_per_topic = settings.buffer_size;
  options.max_bytes = settings.buffer_bytes;
  options.permanent_groups = {"collectors", settings.consumer_group};
  return options;
}

// Of an engine that holds messages in this process.
queue::QueueOptions local_queue_options(const config::Settings& settings) {
  queue::QueueOptions options = queue_options(settings);
  options.max_dead_letter_bytes = share_of_memory(settings, options.max_dead_letter_bytes);
  return options;
}

// What the REDIS_ settings say beside the address.
Result<void> complete(const config::Settings& settings, queue::RedisServer& server) {
  if (!settings.redis_username.empty()) server.username = settings.redis_username;
  if (settings.is_given("REDIS_DB"))
    server.database = static_cast<std::uint32_t>(settings.redis_db);
  if (settings.redis_tls) server.tls = true;
  server.ca_file = settings.redis_ca_file;
  auto password = secret_from_file("REDIS_PASSWORD_FILE", settings.redis_password_file);
  if (!password) return password.error();
  if (*password) {
    server.password = std::move(*password);
  } else if (!settings.redis_password.empty()) {
    server.password = [text = settings.redis_password] { return text; };
  }
  return {};
}

Result<OpenQueue> open_redis(const config::Settings& settings, std::string_view variable,
                             const std::string& address, any_io_executor executor) {
  queue::RedisQueueOptions options;
  options.queue = queue_options(settings);
  auto server = queue::parse_redis_server(address);
  if (!server) return server.error().at(variable);
  options.server = std::move(*server);
  if (auto completed = complete(settings, options.server); !completed) return completed.error();
  auto queue = queue::make_redis_queue(std::move(options), system_clock(), std::move(executor));
  if (!queue) return queue.error();
  OpenQueue open;
  open.check = [redis = queue->get()] { return redis->check(); };
  open.queue = std::move(*queue);
  return open;
}

Result<OpenQueue> open_service(const config::Settings& settings, any_io_executor executor) {
  queue::HttpQueueOptions options;
  options.url = settings.queue_service_url;
  auto token = secret_from_file("QUEUE_TOKEN_FILE", settings.queue_token_file);
  if (!token) return token.error();
  options.token = std::move(*token);
  auto trusted = client_tls(settings);
  if (!trusted) return trusted.error();
  options.tls = std::move(*trusted);
  auto queue = queue::make_http_queue(std::move(options), std::move(executor));
  if (!queue) return queue.error().at("QUEUE_SERVICE_URL");
  OpenQueue open;
  open.check = [service = queue->get()]() -> queue::Async<Result<std::vector<std::string>>> {
    const auto asked = co_await service->statistics();
    if (!asked) co_return asked.error();
    co_return std::vector<std::string>();
  };
  open.queue = std::move(*queue);
  return open;
}

}  // namespace

Result<OpenQueue> open_queue_engine(const config::Settings& settings,
                                    const std::string& default_path, bool consumers_are_local,
                                    any_io_executor executor, observability::Health& health) {
  if (settings.queue_engine == "redis") {
    return open_redis(settings, "REDIS_ADDR", settings.redis_addr, std::move(executor));
  }
  OpenQueue open;
  if (settings.queue_engine == "memory") {
    observability::log_warn(
        "QUEUE_ENGINE=memory: messages that wait in the queue are lost with the process");
    open.queue = queue::make_memory_queue(local_queue_options(settings), system_clock(), executor);
    return open;
  }
  queue::DurableQueueOptions options;
  options.queue = local_queue_options(settings);
  options.health = &health;
  options.directory = settings.queue_data_dir.empty() ? default_path : settings.queue_data_dir;
  options.consumers_are_local = consumers_are_local;
  auto opened = queue::open_durable_queue(options, system_clock(), executor);
  if (!opened) return opened.error();
  open.queue = std::move(*opened);
  return open;
}

Result<OpenQueue> connect_queue(const config::Settings& settings, any_io_executor executor) {
  const std::string& url = settings.queue_service_url;
  if (url.starts_with("redis://") || url.starts_with("rediss://")) {
    return open_redis(settings, "QUEUE_SERVICE_URL", url, std::move(executor));
  }
  return open_service(settings, std::move(executor));
}

}  // namespace gpu_telemetry::services
