#include "services/assembly/assembly.h"
#include "sources/csv/csv_source.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::services {
namespace {

bool is_simulated(const config::Settings& settings) { return settings.source == "simulator"; }

sources::Shard shard_of(const config::Settings& settings) {
  sources::Shard shard;
  shard.index = static_cast<std::uint32_t>(settings.shard_index);
  shard.count = static_cast<std::uint32_t>(settings.shard_count);
  return shard;
}

Result<std::unique_ptr<sources::Source>> open_simulator(const config::Settings& settings) {
  sources::SimulatorOptions options;
  options.gpus = static_cast<std::uint32_t>(settings.simulator_gpus);
  options.hosts = static_cast<std::uint32_t>(settings.simulator_hosts);
  options.seed = settings.simulator_seed;
  options.interval = settings.simulator_interval;
  options.events = settings.simulator_events;
  return sources::make_simulator_source(options, system_clock(), shard_of(settings));
}

Result<std::unique_ptr<sources::Source>> open_csv(const config::Settings& settings) {
  sources::CsvSourceOptions options;
  options.path = settings.csv_path;
  options.loop = settings.loop_mode;
  options.timestamp_mode = settings.timestamp_mode == "now" ? sources::TimestampMode::kNow
                                                            : sources::TimestampMode::kSource;
  options.shard = shard_of(settings);
  auto source = sources::open_csv_source(options);
  if (source || settings.is_given("CSV_PATH")) return source;
  // Somebody who has just started the program and chosen nothing.
  Error error = source.error();
  error.message += "; choose a file with CSV_PATH, or SOURCE=simulator for an invented fleet";
  return error;
}

}  // namespace

Result<std::unique_ptr<sources::Source>> open_source(const config::Settings& settings) {
  return is_simulated(settings) ? open_simulator(settings) : open_csv(settings);
}

StreamerOptions streamer_options(const config::Settings& settings) {
  StreamerOptions options;
  options.topic = settings.queue_topic;
  options.batch_rows = settings.streamer_batch_size;
  // The simulator keeps its own pace.
  options.interval =
      is_simulated(settings) ? std::chrono::milliseconds{0} : settings.stream_interval;
  return options;
}

StreamerOptions shared_streamer_options(const config::Settings& settings) {
  StreamerOptions options = streamer_options(settings);
  const bool has_fixed_part = settings.is_given("SHARD_INDEX") || settings.is_given("SHARD_COUNT");
  if (!has_fixed_part) options.shard_lease = settings.shard_lease;
  return options;
}

CollectorOptions collector_options(const config::Settings& settings) {
  CollectorOptions options;
  options.topic = settings.queue_topic;
  options.group = settings.consumer_group;
  options.consumer = process_name();
  options.batch_messages = settings.collector_batch_size;
  options.max_concurrent_writes = settings.max_concurrent_handlers;
  options.visibility_timeout = settings.visibility_timeout;
  options.limits = {settings.max_gpus, settings.max_metrics};
  return options;
}

}  // namespace gpu_telemetry::services
