// Every setting of the program, typed; and the one table that says how each is called, written,
// defaulted and explained.
//
// A setting is a flag (`--api-port 8080`) and an environment variable (`API_PORT=8080`); the flag
// wins. The table feeds the parser, `--help` and docs/configuration.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "domain/duration.h"
#include "domain/result.h"

namespace gpu_telemetry::config {

using std::chrono::milliseconds;

// Subcommands, as bits, so that a setting can belong to several.
enum Command : std::uint32_t {
  kAllInOne = 1U << 0,
  kSimulate = 1U << 1,
  kStoreCheck = 1U << 2,
  kHealth = 1U << 3,
  kStreamer = 1U << 4,
  kCollector = 1U << 5,
  kQueueService = 1U << 6,
  kApiGateway = 1U << 7,
};

// Comments on the members are in the table (settings.cc), which also holds the defaults.
struct Settings {
  // Everywhere
  std::string log_level;
  std::string log_format;

  // Streamer
  std::string source;
  std::string csv_path;
  std::string timestamp_mode;
  milliseconds stream_interval{};
  bool loop_mode = false;
  std::uint64_t streamer_batch_size = 0;
  std::uint64_t shard_index = 0;
  std::uint64_t shard_count = 0;
  milliseconds shard_lease{};
  std::uint64_t simulator_gpus = 0;
  std::uint64_t simulator_hosts = 0;
  milliseconds simulator_interval{};
  std::uint64_t simulator_seed = 0;
  bool simulator_events = false;
  bool exit_at_end = false;

  // Queue
  std::string queue_service_url;
  std::string queue_token_file;
  std::string queue_host;
  std::uint64_t queue_port = 0;
  std::string queue_topic;
  std::string consumer_group;
  std::string queue_engine;
  std::string queue_data_dir;
  milliseconds visibility_timeout{};
  std::uint64_t max_retries = 0;
  std::uint64_t buffer_size = 0;
  ByteSize buffer_bytes;
  std::string redis_addr;
  std::string redis_username;
  std::string redis_password;
  std::string redis_password_file;
  std::uint64_t redis_db = 0;
  bool redis_tls = false;
  std::string redis_ca_file;

  // Collector
  std::uint64_t collector_batch_size = 0;
  std::uint64_t max_concurrent_handlers = 0;
  std::uint64_t max_gpus = 0;
  std::uint64_t max_metrics = 0;

  // Storage
  std::string storage_uri;
  std::string mongodb_uri;
  std::string mongodb_uri_file;
  std::string mongodb_database;
  milliseconds retention{};

  // API gateway
  std::string api_host;
  std::uint64_t api_port = 0;
  std::uint64_t api_max_connections = 0;
  std::string api_tokens_file;
  std::uint64_t api_rate_limit = 0;
  std::string cors_origins;
  milliseconds shutdown_grace{};
  ByteSize memory_limit;

  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_ca_file;

  // Health and metrics of services that have no API
  std::string metrics_host;
  std::uint64_t metrics_port = 0;

  // simulate
  milliseconds simulate_duration{};
  std::string simulate_start;
  std::string simulate_out;

  // store check
  std::string store_path;

  // health
  std::string health_url;

  // Variables that were given, by flag or environment; others hold their defaults.
  std::set<std::string, std::less<>> given;
  bool is_given(std::string_view variable) const { return given.contains(variable); }
};

using Member = std::variant<std::string Settings::*, bool Settings::*, std::uint64_t Settings::*,
                            milliseconds Settings::*, ByteSize Settings::*>;

struct Option {
  std::string_view flag;      // without the dashes
  std::string_view variable;  // empty: a flag only
  Member member;
  std::string_view default_value;
  // What is accepted: "duration", "bytes", "true|false", "1..65535", "csv|simulator", "path",
  // "text". Choices and ranges written like this are enforced.
  std::string_view form;
  std::string_view help;
  std::uint32_t commands;  // of Command
  // A second name (flag and variable), and the commands that have it.
  std::string_view short_flag = {};
  std::string_view short_variable = {};
  std::uint32_t short_commands = 0;
  // A default of its own for some commands.
  std::string_view other_default = {};
  std::uint32_t other_commands = 0;

  std::string_view default_for(Command command) const {
    return (other_commands & command) != 0 ? other_default : default_value;
  }
};

std::span<const Option> option_table();

// The environment, so that a test can give its own. Null: not set. An empty value counts as not
// set.
using Environment = std::function<std::optional<std::string>(std::string_view variable)>;
Environment process_environment();

// What a command line asks for.
struct CommandLine {
  Settings settings;
  bool help = false;
};

// Reads the flags of `command` (everything after its name) and the environment.
// Errors: kInvalid, naming the flag or variable, the text, and the accepted form. `wrong_usage`
// then says whether the command line is at fault, and not the environment.
Result<CommandLine> parse_settings(Command command, const std::vector<std::string>& arguments,
                                   const Environment& environment, bool& wrong_usage);

// The text of `gpu-telemetry COMMAND --help`: usage, then name, variable, default, form and help of
// every setting of the command.
std::string help_text(Command command, std::string_view usage, std::string_view summary);

// docs/configuration.md.
std::string configuration_page();

}  // namespace gpu_telemetry::config
