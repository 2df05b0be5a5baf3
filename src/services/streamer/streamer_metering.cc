#include "services/streamer/streamer_metering.h"

#include <string>

namespace gpu_telemetry::services {

StreamerMetering::StreamerMetering(observability::Metrics& metrics,
                                   const sources::SourceCounters& source)
    : samples(metrics.counter("gpu_telemetry_samples_published_total",
                              "Samples that the queue has accepted")),
      messages(metrics.counter("gpu_telemetry_messages_published_total",
                               "Messages that the queue has accepted")),
      refusals(metrics.counter("gpu_telemetry_publish_refusals_total",
                               "Times that the queue was full or away and the streamer waited")) {
  const auto watch_row = [&](const char* result, const std::atomic<std::uint64_t>& count) {
    watch(metrics.counter("gpu_telemetry_source_rows_total",
                          "Rows read from the source, by what became of them; of a shared source "
                          "some are read again when shards move",
                          {{"result", result}}),
          count);
  };
  watch_row("accepted", source.rows_accepted);
  watch_row("malformed", source.rows_malformed);
  watch_row("absent", source.rows_absent);
  watch_row("other_shard", source.rows_other_shard);
  for (int reason = 1; reason < kRejectionCount; ++reason) {
    const auto name = std::string(to_string(static_cast<Rejection>(reason)));
    watch(metrics.counter("gpu_telemetry_readings_rejected_total",
                          "Values that are not readings, by reason", {{"reason", name}}),
          source.rejected[static_cast<std::size_t>(reason)]);
  }
  sampler_ = metrics.on_collect([this] { collect(); });
}

void StreamerMetering::watch(prometheus::Counter& counter,
                             const std::atomic<std::uint64_t>& source) {
  watched_.push_back({&counter, &source, 0});
}

void StreamerMetering::collect() {
  for (Watched& each : watched_) {
    const std::uint64_t now = each.source->load(std::memory_order_relaxed);
    each.counter->Increment(static_cast<double>(now - each.seen));
    each.seen = now;
  }
}

ShardMetering::ShardMetering(observability::Metrics& metrics)
    : held(metrics.gauge("gpu_telemetry_shards_held",
                         "Shards of a shared source that this streamer reads, of 64")),
      lost(metrics.counter("gpu_telemetry_shard_leases_lost_total",
                           "Leases of shards that ended before the streamer gave them back")),
      rebalances(metrics.counter("gpu_telemetry_shard_rebalances_total",
                                 "Times that this streamer's shards became others")) {}

}  // namespace gpu_telemetry::services
