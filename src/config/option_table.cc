#include <array>

#include "config/settings.h"

namespace gpu_telemetry::config {
namespace {

using S = Settings;

constexpr std::uint32_t kServices = kAllInOne;
constexpr std::uint32_t kEverywhere = kAllInOne | kSimulate | kStoreCheck | kHealth;
constexpr std::uint32_t kFleet = kAllInOne | kSimulate;

const auto kTable = std::to_array<Option>({
    // Everywhere
    {"log-level", "LOG_LEVEL", &S::log_level, "info", "debug|info|warn|error",
     "Least severe line that is logged", kEverywhere},
    {"log-format", "LOG_FORMAT", &S::log_format, "auto", "auto|text|json",
     "auto: text on a terminal, JSON lines otherwise", kEverywhere},

    // Streamer
    {"source", "SOURCE", &S::source, "csv", "csv|simulator",
     "Where telemetry comes from; an explicit CSV_PATH means csv", kServices},
    {"csv-path", "CSV_PATH", &S::csv_path, "/data/dcgm_metrics.csv", "path",
     "File in dcgm-exporter's CSV form, plain or gzip; - reads standard input", kServices},
    {"timestamp-mode", "TIMESTAMP_MODE", &S::timestamp_mode, "now", "now|source",
     "now: rows are stamped as they are read; source: the file's own times (backfill)", kServices},
    {"stream-interval", "STREAM_INTERVAL", &S::stream_interval, "100ms", "duration",
     "Pause between published batches of a file; 0 for none", kServices},
    {"loop-mode", "LOOP_MODE", &S::loop_mode, "true", "true|false",
     "Start the file again when it has ended", kServices},
    {"streamer-batch-size", "STREAMER_BATCH_SIZE", &S::streamer_batch_size, "100", "1..10000",
     "Rows in one message; more is faster and delays the first of them", kServices, "batch-size",
     "BATCH_SIZE", kAllInOne},
    {"shard-index", "SHARD_INDEX", &S::shard_index, "0", "0..65535",
     "Which part of the GPUs this streamer reads, of SHARD_COUNT", kServices},
    {"shard-count", "SHARD_COUNT", &S::shard_count, "1", "1..65536",
     "How many streamers share one source", kServices},
    {"shard-lease", "SHARD_LEASE", &S::shard_lease, "15s", "duration",
     "Without SHARD_INDEX and SHARD_COUNT streamers share a source through the queue; one that is "
     "not heard of for so long loses its part to the others",
     kStreamer},
    {"simulator-gpus", "SIMULATOR_GPUS", &S::simulator_gpus, "64", "1..100000",
     "GPUs in the simulated fleet", kFleet, "gpus", "", kSimulate},
    {"simulator-hosts", "SIMULATOR_HOSTS", &S::simulator_hosts, "8", "1..100000",
     "Hosts that they are spread over", kFleet, "hosts", "", kSimulate},
    {"simulator-interval", "SIMULATOR_INTERVAL", &S::simulator_interval, "10s", "duration",
     "Time between two scrapes of a simulated GPU", kFleet, "interval", "", kSimulate},
    {"simulator-seed", "SIMULATOR_SEED", &S::simulator_seed, "1", "number",
     "The same seed gives the same fleet and the same history", kFleet, "seed", "", kSimulate},
    {"simulator-events", "SIMULATOR_EVENTS", &S::simulator_events, "true", "true|false",
     "XID and ECC errors, throttling and absent readings now and then", kFleet, "events", "",
     kSimulate},
    {"exit-at-end", "EXIT_AT_END", &S::exit_at_end, "false", "true|false",
     "Drain and exit 0 when a file has ended and LOOP_MODE is false, as a Job does", kServices},

    // Queue
    {"queue-topic", "QUEUE_TOPIC", &S::queue_topic, "telemetry", "name",
     "Topic that telemetry is published to", kServices},
    {"consumer-group", "CONSUMER_GROUP", &S::consumer_group, "collectors", "name",
     "Group that collectors share", kServices},
    {"queue-engine", "QUEUE_ENGINE", &S::queue_engine, "durable", "durable|memory",
     "durable: survives a crash; memory: faster, and what waits in it is lost with the process",
     kServices},
    {"queue-data-dir", "QUEUE_DATA_DIR", &S::queue_data_dir, "", "path",
     "Folder of the durable queue; empty: `queue` in the embedded store's folder", kServices},
    {"visibility-timeout", "VISIBILITY_TIMEOUT", &S::visibility_timeout, "5m", "duration",
     "How long a delivered message may stay unacknowledged before it is delivered again",
     kServices},
    {"max-retries", "MAX_RETRIES", &S::max_retries, "3", "0..1000",
     "Redeliveries of a message before it goes to the dead letters", kServices},
    {"buffer-size", "BUFFER_SIZE", &S::buffer_size, "10000", "1..100000000",
     "Messages that a topic holds before publishers have to wait", kServices},
    {"buffer-bytes", "BUFFER_BYTES", &S::buffer_bytes, "128MiB", "bytes",
     "Bytes of messages that all topics hold before publishers have to wait", kServices},

    // Collector
    {"collector-batch-size", "COLLECTOR_BATCH_SIZE", &S::collector_batch_size, "64", "1..10000",
     "Messages in one write to storage", kServices},
    {"max-concurrent-handlers", "MAX_CONCURRENT_HANDLERS", &S::max_concurrent_handlers, "10",
     "1..1000", "Writes to storage in flight at once", kServices},

    // Storage
    {"storage-uri", "STORAGE_URI", &S::storage_uri, "embedded:gpu-telemetry-data", "embedded:PATH",
     "Where telemetry is stored; the embedded store belongs to one process", kServices},
    {"retention", "RETENTION", &S::retention, "30d", "duration",
     "How long a reading is kept after the later of its time and its first storing; 0 for ever",
     kServices},

    // API gateway
    {"api-host", "API_HOST", &S::api_host, "127.0.0.1", "address",
     "Address that the API listens on; :: for all", kServices},
    {"api-port", "API_PORT", &S::api_port, "8080", "0..65535",
     "Port that the API listens on; 0 for any free one", kServices},
    {"api-max-connections", "API_MAX_CONNECTIONS", &S::api_max_connections, "10000", "1..1000000",
     "Open connections; past them new ones are answered 503", kServices},
    {"api-tokens-file", "API_TOKENS_FILE", &S::api_tokens_file, "", "path",
     "File of bearer tokens, a line each: TOKEN, TOKEN:read or TOKEN:admin; read again when it has "
     "changed; empty: none is needed",
     kServices},
    {"api-rate-limit", "API_RATE_LIMIT", &S::api_rate_limit, "0", "0..1000000",
     "Requests a second that one client address may make; past them 429; 0 for any number",
     kServices},
    {"cors-origins", "CORS_ORIGINS", &S::cors_origins, "", "text",
     "Origins whose pages may read the API, with commas between, such as https://grafana.example; "
     "* for all",
     kServices},
    {"shutdown-grace", "SHUTDOWN_GRACE", &S::shutdown_grace, "20s", "duration",
     "How long SIGTERM may take to drain before what is left is cut", kServices},

    // simulate
    {"duration", "", &S::simulate_duration, "1h", "duration", "Simulated time to write", kSimulate},
    {"start", "", &S::simulate_start, "2025-01-01T00:00:00Z", "RFC 3339 time",
     "Time of the first scrape", kSimulate},
    {"out", "", &S::simulate_out, "-", "path", "File to write; - is standard output", kSimulate},

    // store check
    {"path", "", &S::store_path, "gpu-telemetry-data", "path", "Folder of the embedded store",
     kStoreCheck},

    // health
    {"url", "", &S::health_url, "http://127.0.0.1:8080/readyz", "URL",
     "What to ask; exit status 0 when it answers 200", kHealth},
});

}  // namespace

std::span<const Option> option_table() { return kTable; }

}  // namespace gpu_telemetry::config
