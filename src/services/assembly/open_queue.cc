#include "observability/log.h"
#include "queue/durable/durable_queue.h"
#include "queue/memory/memory_queue.h"
#include "services/assembly/assembly.h"

namespace gpu_telemetry::services {
namespace {

queue::QueueOptions queue_options(const config::Settings& settings) {
  queue::QueueOptions options;
  options.visibility_timeout = settings.visibility_timeout;
  options.max_retries = static_cast<std::uint32_t>(settings.max_retries);
  options.max_messages_per_topic = settings.buffer_size;
  options.max_bytes = settings.buffer_bytes;
  options.permanent_groups = {"collectors", settings.consumer_group};
  return options;
}

}  // namespace

Result<std::unique_ptr<queue::MessageQueue>> open_queue_engine(
    const config::Settings& settings, const std::string& store_path, bool consumers_are_local,
    boost::asio::any_io_executor executor, observability::Health& health) {
  if (settings.queue_engine == "memory") {
    observability::log_warn(
        "QUEUE_ENGINE=memory: messages that wait in the queue are lost with the process");
    return std::unique_ptr<queue::MessageQueue>(
        queue::make_memory_queue(queue_options(settings), system_clock(), executor));
  }
  queue::DurableQueueOptions options;
  options.queue = queue_options(settings);
  options.health = &health;
  options.directory = settings.queue_data_dir;
  if (options.directory.empty()) options.directory = store_path + "/queue";
  options.consumers_are_local = consumers_are_local;
  auto opened = queue::open_durable_queue(options, system_clock(), executor);
  if (!opened) return opened.error();
  return std::unique_ptr<queue::MessageQueue>(std::move(*opened));
}

}  // namespace gpu_telemetry::services
