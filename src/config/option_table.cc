#include <array>

#include "config/settings.h"

namespace gpu_telemetry::config {
namespace {

using S = Settings;

constexpr std::uint32_t kServices =
    kAllInOne | kStreamer | kCollector | kQueueService | kApiGateway;
constexpr std::uint32_t kEverywhere = kServices | kSimulate | kStoreCheck | kHealth;
constexpr std::uint32_t kReaders = kAllInOne | kStreamer;      // of a source
constexpr std::uint32_t kWriters = kAllInOne | kCollector;     // to storage
constexpr std::uint32_t kEngines = kAllInOne | kQueueService;  // have the queue in them
constexpr std::uint32_t kUsers =
    kStreamer | kCollector;  // publish to a queue elsewhere, or consume from it
constexpr std::uint32_t kRemote = kUsers | kApiGateway;  // ask a queue elsewhere
constexpr std::uint32_t kStores = kAllInOne | kCollector | kApiGateway;
constexpr std::uint32_t kGateways = kAllInOne | kApiGateway;
constexpr std::uint32_t kFleet = kReaders | kSimulate;

const auto kTable = std::to_array<Option>({
    // Everywhere
    {"log-level", "LOG_LEVEL", &S::log_level, "info", "debug|info|warn|error",
     "Least severe line that is logged", kEverywhere},
    {"log-format", "LOG_FORMAT", &S::log_format, "auto", "auto|text|json",
     "auto: text on a terminal, JSON lines otherwise", kEverywhere},

    // Streamer
    {"source", "SOURCE", &S::source, "csv", "csv|simulator",
     "Where telemetry comes from; an explicit CSV_PATH means csv", kReaders},
    {"csv-path", "CSV_PATH", &S::csv_path, "/data/dcgm_metrics.csv", "path",
     "File in dcgm-exporter's CSV form, plain or gzip; - reads standard input", kReaders},
    {"timestamp-mode", "TIMESTAMP_MODE", &S::timestamp_mode, "now", "now|source",
     "now: rows are stamped as they are read; source: the file's own times (backfill)", kReaders},
    {"stream-interval", "STREAM_INTERVAL", &S::stream_interval, "100ms", "duration",
     "Pause between published batches of a file; 0 for none", kReaders},
    {"loop-mode", "LOOP_MODE", &S::loop_mode, "true", "true|false",
     "Start the file again when it has ended", kReaders},
    {"streamer-batch-size", "STREAMER_BATCH_SIZE", &S::streamer_batch_size, "100", "1..10000",
     "Rows in one message; more is faster and delays the first of them", kReaders, "batch-size",
     "BATCH_SIZE", kReaders},
    {"shard-index", "SHARD_INDEX", &S::shard_index, "0", "0..65535",
     "Which part of the GPUs this streamer reads, of SHARD_COUNT", kReaders},
    {"shard-count", "SHARD_COUNT", &S::shard_count, "1", "1..65536",
     "How many streamers share one source", kReaders},
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
     "Drain and exit 0 when a file has ended and LOOP_MODE is false, as a Job does", kReaders},

    // Queue
    {"queue-service-url",
     "QUEUE_SERVICE_URL",
     &S::queue_service_url,
     "http://queue-service:8080",
     "URL",
     "Queue service, http://HOST:PORT or https; or redis://[USER:PASSWORD@]HOST:PORT/DB without "
     "one; the "
     "API shows it, and nothing of it when empty",
     kRemote,
     {},
     {},
     0,
     "",
     kApiGateway},
    {"queue-token-file", "QUEUE_TOKEN_FILE", &S::queue_token_file, "", "path",
     "File with the bearer token of the queue's API, read again when it changes; empty: no token",
     kEngines | kRemote},
    {"queue-host", "QUEUE_HOST", &S::queue_host, "127.0.0.1", "address",
     "Address that the queue service listens on; :: for all", kQueueService},
    {"queue-port", "QUEUE_PORT", &S::queue_port, "8080", "0..65535",
     "Port that the queue service listens on; 0 for any free one", kQueueService},
    {"queue-topic", "QUEUE_TOPIC", &S::queue_topic, "telemetry", "name",
     "Topic that telemetry is published to", kReaders | kRemote},
    {"consumer-group", "CONSUMER_GROUP", &S::consumer_group, "collectors", "name",
     "Group that collectors share; the queue keeps it however long it idles",
     kEngines | kCollector | kApiGateway},
    {"queue-engine", "QUEUE_ENGINE", &S::queue_engine, "durable", "durable|memory|redis",
     "durable: survives a crash; memory: what waits in it is lost with the process; redis: shared "
     "by any number of processes",
     kEngines},
    {"queue-data-dir",
     "QUEUE_DATA_DIR",
     &S::queue_data_dir,
     "",
     "path",
     "Folder of the durable queue; empty: `queue` in the embedded store's folder",
     kEngines,
     {},
     {},
     0,
     "gpu-telemetry-queue",
     kQueueService},
    {"visibility-timeout", "VISIBILITY_TIMEOUT", &S::visibility_timeout, "5m", "duration",
     "How long a delivered message may stay unacknowledged before it is delivered again",
     kEngines | kUsers},
    {"max-retries", "MAX_RETRIES", &S::max_retries, "3", "0..1000",
     "Redeliveries of a message before it goes to the dead letters", kEngines | kUsers},
    {"buffer-size", "BUFFER_SIZE", &S::buffer_size, "10000", "1..100000000",
     "Messages that a topic holds before publishers have to wait", kEngines | kUsers},
    {"buffer-bytes", "BUFFER_BYTES", &S::buffer_bytes, "128MiB", "bytes",
     "Bytes of messages that all topics hold before publishers have to wait, 160 more for each; "
     "where not given, at most an eighth of the memory",
     kEngines | kUsers},
    {"redis-addr", "REDIS_ADDR", &S::redis_addr, "redis:6379", "HOST:PORT",
     "Redis of QUEUE_ENGINE=redis; unix:/PATH for a socket", kEngines},
    {"redis-username", "REDIS_USERNAME", &S::redis_username, "", "text",
     "User of Redis's access control list; empty: its default user", kEngines | kRemote},
    {"redis-password", "REDIS_PASSWORD", &S::redis_password, "", "text",
     "Its password; better in a file, since others on the machine can see flags and variables",
     kEngines | kRemote},
    {"redis-password-file", "REDIS_PASSWORD_FILE", &S::redis_password_file, "", "path",
     "File with the password, read again when it changes", kEngines | kRemote},
    {"redis-db", "REDIS_DB", &S::redis_db, "0", "0..1000000", "Number of Redis's database",
     kEngines},
    {"redis-tls", "REDIS_TLS", &S::redis_tls, "false", "true|false",
     "Speak TLS with Redis and verify its certificate", kEngines},
    {"redis-ca-file", "REDIS_CA_FILE", &S::redis_ca_file, "", "path",
     "PEM file of the authorities that Redis's certificate may come from; empty: the system's",
     kEngines | kRemote},

    // Collector
    {"collector-batch-size", "COLLECTOR_BATCH_SIZE", &S::collector_batch_size, "64", "1..10000",
     "Messages in one write to storage, at most", kWriters, "batch-size", "BATCH_SIZE", kCollector,
     "1", kCollector},
    {"max-concurrent-handlers", "MAX_CONCURRENT_HANDLERS", &S::max_concurrent_handlers, "10",
     "1..1000", "Writes to storage in flight at once", kWriters},
    {"max-gpus", "MAX_GPUS", &S::max_gpus, "250000", "1..10000000",
     "GPUs that storage may come to hold, MIG instances included; messages with more go to the "
     "dead "
     "letters after the rest of them is stored",
     kWriters},
    {"max-metrics", "MAX_METRICS", &S::max_metrics, "2000", "1..16384",
     "Metric names that storage may come to hold; messages with more as MAX_GPUS says", kWriters},

    // Storage
    {"storage-uri",
     "STORAGE_URI",
     &S::storage_uri,
     "embedded:gpu-telemetry-data",
     "embedded:PATH or mongodb://HOST",
     "Where telemetry is stored; beats MONGODB_URI; the embedded store belongs to one process",
     kStores,
     {},
     {},
     0,
     "",
     kCollector | kApiGateway},
    {"mongodb-uri",
     "MONGODB_URI",
     &S::mongodb_uri,
     "mongodb://mongodb:27017",
     "mongodb://HOST",
     "MongoDB, with credentials, TLS and replica set as its driver takes them",
     kStores,
     {},
     {},
     0,
     "",
     kAllInOne},
    {"mongodb-uri-file", "MONGODB_URI_FILE", &S::mongodb_uri_file, "", "path",
     "File with that URI, read again when it changes", kStores},
    {"mongodb-database", "MONGODB_DATABASE", &S::mongodb_database, "gpu_telemetry", "name",
     "Database in MongoDB", kStores},
    {"retention", "RETENTION", &S::retention, "30d", "duration",
     "How long a reading is kept after the later of its time and its first storing; 0 for ever",
     kStores},

    // API gateway
    {"api-host", "API_HOST", &S::api_host, "127.0.0.1", "address",
     "Address that the API listens on; :: for all", kGateways},
    {"api-port", "API_PORT", &S::api_port, "8080", "0..65535",
     "Port that the API listens on; 0 for any free one", kGateways},
    {"api-max-connections", "API_MAX_CONNECTIONS", &S::api_max_connections, "10000", "1..1000000",
     "Open connections; past them new ones are answered 503", kGateways},
    {"api-tokens-file", "API_TOKENS_FILE", &S::api_tokens_file, "", "path",
     "File of bearer tokens, a line each: TOKEN, TOKEN:read or TOKEN:admin; read again when it has "
     "changed; empty: none is needed",
     kGateways},
    {"api-rate-limit", "API_RATE_LIMIT", &S::api_rate_limit, "0", "0..1000000",
     "Requests a second that one client address may make; past them 429; 0 for any number",
     kGateways},
    {"cors-origins", "CORS_ORIGINS", &S::cors_origins, "", "text",
     "Origins whose pages may read the API, with commas between, such as https://grafana.example; "
     "* for all",
     kGateways},
    {"shutdown-grace", "SHUTDOWN_GRACE", &S::shutdown_grace, "20s", "duration",
     "How long SIGTERM may take to drain before what is left is cut", kServices},
    {"memory-limit", "MEMORY_LIMIT", &S::memory_limit, "0", "bytes",
     "Memory that this process may use; what it holds for others is bounded by it; 0: what its "
     "control group, else the machine, allows",
     kServices},

    // Health and metrics of services that have no API
    {"tls-cert-file", "TLS_CERT_FILE", &S::tls_cert_file, "", "path",
     "PEM file of this service's certificate and those between it and its authority; with it "
     "everything that this process serves is HTTPS; read again when it changes",
     kServices},
    {"tls-key-file", "TLS_KEY_FILE", &S::tls_key_file, "", "path",
     "PEM file of the certificate's key", kServices},
    {"tls-ca-file", "TLS_CA_FILE", &S::tls_ca_file, "", "path",
     "PEM file of the authorities that an https service's certificate may come from; empty: the "
     "system's",
     kRemote | kHealth},
    {"metrics-host", "METRICS_HOST", &S::metrics_host, "127.0.0.1", "address",
     "Address that /livez, /readyz and /metrics are served on; :: for all", kUsers},
    {"metrics-port", "METRICS_PORT", &S::metrics_port, "9090", "0..65535",
     "Port that they are served on; 0 for any free one", kUsers},

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
