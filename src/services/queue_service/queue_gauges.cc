#include "services/queue_service/queue_gauges.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace gpu_telemetry::services {

QueueGauges::QueueGauges(observability::Metrics& metrics, const config::Settings& settings)
    : metrics_(metrics) {
  metrics_
      .gauge("gpu_telemetry_queue_limit_bytes",
             "Bytes that all topics together may hold before publishers have to wait", {})
      .Set(static_cast<double>(settings.buffer_bytes.bytes));
  metrics_
      .gauge("gpu_telemetry_queue_limit_messages",
             "Messages that a topic may hold before publishers have to wait", {})
      .Set(static_cast<double>(settings.buffer_size));
}

void QueueGauges::count(const std::string& name, const std::string& help,
                        const observability::Labels& labels, std::uint64_t total) {
  std::uint64_t& counted = counted_[{name, labels}];
  if (total > counted) {
    metrics_.counter(name, help, labels).Increment(static_cast<double>(total - counted));
  }
  counted = total;
}

void QueueGauges::update(const std::vector<queue::TopicStatistics>& topics) {
  const concurrency::MutexLock lock(mutex_);
  const auto gauge = [this](const char* name, const char* help, const observability::Labels& labels,
                            double value) { metrics_.gauge(name, help, labels).Set(value); };
  for (const queue::TopicStatistics& topic : topics) {
    const observability::Labels of_topic{{"topic", topic.topic}};
    gauge("gpu_telemetry_queue_bytes", "Bytes of the messages that a topic holds", of_topic,
          static_cast<double>(topic.bytes));
    count("gpu_telemetry_queue_published_total", "Messages accepted", of_topic,
          topic.published_total);
    count("gpu_telemetry_queue_rejected_total", "Messages refused because a limit was reached",
          of_topic, topic.rejected_total);
    for (const queue::GroupStatistics& group : topic.groups) {
      const observability::Labels labels{{"topic", topic.topic}, {"consumer_group", group.group}};
      gauge("gpu_telemetry_queue_ready_messages", "Messages that wait to be delivered", labels,
            static_cast<double>(group.ready));
      gauge("gpu_telemetry_queue_in_flight_messages", "Messages delivered and not settled yet",
            labels, static_cast<double>(group.in_flight));
      gauge("gpu_telemetry_queue_delayed_messages", "Messages that wait for their delay to end",
            labels, static_cast<double>(group.delayed));
      gauge("gpu_telemetry_queue_dead_messages", "Dead letters", labels,
            static_cast<double>(group.dead));
      gauge("gpu_telemetry_queue_oldest_age_seconds",
            "Age of the oldest message that is not acknowledged", labels,
            std::chrono::duration<double>(group.oldest_age).count());
      count("gpu_telemetry_queue_delivered_total", "Deliveries", labels, group.delivered_total);
      count("gpu_telemetry_queue_redelivered_total", "Deliveries after the first", labels,
            group.redelivered_total);
      count("gpu_telemetry_queue_acknowledged_total", "Messages acknowledged", labels,
            group.acked_total);
      count("gpu_telemetry_queue_expired_total", "Leases that ran out", labels,
            group.expired_total);
    }
  }
}

}  // namespace gpu_telemetry::services
