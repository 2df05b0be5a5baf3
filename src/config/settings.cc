#include "config/settings.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace gpu_telemetry::config {
namespace {

Error unacceptable(std::string_view where, std::string_view value, std::string_view form) {
  return invalid(std::string(where) + "='" + std::string(value.substr(0, 100)) +
                 "' is not acceptable: expected " + std::string(form));
}

bool parse_unsigned(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

// Whether `form` is a list of words such as "csv|simulator", and `value` none of them.
bool violates_choice(std::string_view form, std::string_view value) {
  if (form.find('|') == std::string_view::npos) return false;
  while (true) {
    const std::size_t bar = form.find('|');
    if (form.substr(0, bar) == value) return false;
    if (bar == std::string_view::npos) return true;
    form.remove_prefix(bar + 1);
  }
}

// Whether `form` is a range such as "1..65535", and `number` outside of it.
bool violates_range(std::string_view form, std::uint64_t number) {
  const std::size_t dots = form.find("..");
  if (dots == std::string_view::npos) return false;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  parse_unsigned(form.substr(0, dots), low);
  parse_unsigned(form.substr(dots + 2), high);
  return number < low || number > high;
}

std::string_view accepted_form(const Option& option) {
  if (option.form == "duration") return "a duration such as 100ms, 10s, 5m or 30d";
  if (option.form == "bytes") return "a size such as 1000, 512KiB or 64MiB";
  if (option.form == "number") return "a whole number";
  return option.form;
}

// Sets a member from text. `where` names the flag or variable for the error.
class Assignment {
 public:
  Assignment(Settings& settings, const Option& option, std::string_view where,
             std::string_view value)
      : settings_(settings), option_(option), where_(where), value_(value) {}

  Result<void> run() const {
    return std::visit([this](auto member) { return assign(member); }, option_.member);
  }

 private:
  Error refuse() const { return unacceptable(where_, value_, accepted_form(option_)); }

  Result<void> assign(std::string Settings::* member) const {
    if (violates_choice(option_.form, value_)) return refuse();
    settings_.*member = value_;
    return {};
  }
  Result<void> assign(bool Settings::* member) const {
    if (value_ != "true" && value_ != "false" && value_ != "1" && value_ != "0") return refuse();
    settings_.*member = value_ == "true" || value_ == "1";
    return {};
  }
  Result<void> assign(std::uint64_t Settings::* member) const {
    std::uint64_t number = 0;
    if (!parse_unsigned(value_, number) || violates_range(option_.form, number)) return refuse();
    settings_.*member = number;
    return {};
  }
  Result<void> assign(milliseconds Settings::* member) const {
    const auto duration = parse_duration(value_);
    if (!duration) return refuse();
    settings_.*member = std::chrono::ceil<milliseconds>(*duration);
    return {};
  }
  Result<void> assign(ByteSize Settings::* member) const {
    const auto size = parse_byte_size(value_);
    if (!size) return refuse();
    settings_.*member = *size;
    return {};
  }

  Settings& settings_;
  const Option& option_;
  std::string_view where_;
  std::string_view value_;
};

bool has_short_name(const Option& option, Command command) {
  return (option.short_commands & command) != 0;
}

bool is_flag_of(const Option& option, Command command, std::string_view name) {
  if ((option.commands & command) == 0) return false;
  return option.flag == name || (has_short_name(option, command) && option.short_flag == name);
}

const Option* find_flag(Command command, std::string_view name) {
  for (const Option& option : option_table()) {
    if (is_flag_of(option, command, name)) return &option;
  }
  return nullptr;
}

// The flag that an unknown one was probably meant to be: the shortest that contains it or shares
// its first four letters.
std::string suggestion(Command command, std::string_view name) {
  for (const Option& option : option_table()) {
    if ((option.commands & command) == 0) continue;
    const bool near = option.flag.find(name) != std::string_view::npos ||
                      (name.size() >= 4 && option.flag.starts_with(name.substr(0, 4)));
    if (near) return " (did you mean --" + std::string(option.flag) + "?)";
  }
  return " (see --help)";
}

Result<void> read_environment(Command command, const Environment& environment, Settings& settings) {
  for (const Option& option : option_table()) {
    if ((option.commands & command) == 0) continue;
    // The longer name is the more specific one and is read last.
    for (const std::string_view variable :
         {has_short_name(option, command) ? option.short_variable : std::string_view{},
          option.variable}) {
      if (variable.empty()) continue;
      const auto value = environment(variable);
      if (!value || value->empty()) continue;
      if (auto set = Assignment(settings, option, variable, *value).run(); !set) return set;
      settings.given.insert(std::string(option.variable));
    }
  }
  return {};
}

// Reads one flag, and its value from the next argument when it has none of its own.
Result<void> read_flag(Command command, const std::vector<std::string>& arguments, std::size_t& at,
                       CommandLine& line) {
  std::string_view argument = arguments[at];
  if (argument == "--help" || argument == "-h") {
    line.help = true;
    return {};
  }
  if (!argument.starts_with("--")) {
    return invalid("unexpected argument '" + std::string(argument) + "' (see --help)");
  }
  argument.remove_prefix(2);
  const std::size_t equals = argument.find('=');
  const std::string_view name = argument.substr(0, equals);
  const Option* option = find_flag(command, name);
  if (option == nullptr) {
    return invalid("unknown flag --" + std::string(name) + suggestion(command, name));
  }
  std::string_view value;
  const bool is_switch = std::holds_alternative<bool Settings::*>(option->member);
  if (equals != std::string_view::npos) {
    value = argument.substr(equals + 1);
  } else if (at + 1 < arguments.size() && !(is_switch && arguments[at + 1].starts_with("--"))) {
    value = arguments[++at];
  } else if (is_switch) {
    value = "true";
  } else {
    return invalid("--" + std::string(name) +
                   " needs a value: " + std::string(accepted_form(*option)));
  }
  const std::string where = "--" + std::string(name);
  if (auto set = Assignment(line.settings, *option, where, value).run(); !set) return set;
  if (!option->variable.empty()) line.settings.given.insert(std::string(option->variable));
  return {};
}

// STORAGE_URI beats MONGODB_URI beats the command's default.
void choose_storage(Settings& settings) {
  if (settings.is_given("STORAGE_URI")) return;
  const bool mongodb = settings.is_given("MONGODB_URI") || settings.is_given("MONGODB_URI_FILE");
  if (mongodb || settings.storage_uri.empty()) settings.storage_uri = settings.mongodb_uri;
}

Result<void> only_one_of(const Settings& settings, std::string_view one, std::string_view other) {
  if (!settings.is_given(one) || !settings.is_given(other)) return {};
  return invalid(std::string(one) + " and " + std::string(other) +
                 " are both set: give one of them");
}

Result<void> check_source(const Settings& settings) {
  if (settings.is_given("CSV_PATH") && settings.source == "simulator") {
    return invalid("SOURCE=simulator contradicts CSV_PATH='" + settings.csv_path +
                   "': give one of them");
  }
  if (settings.shard_index >= settings.shard_count) {
    return invalid("SHARD_INDEX=" + std::to_string(settings.shard_index) +
                   " is not acceptable: expected less than SHARD_COUNT=" +
                   std::to_string(settings.shard_count));
  }
  // Less than twice the second by which stamps may be ahead of the clock would let a successor
  // stamp what it takes over earlier than it was stamped before.
  if (settings.shard_lease < std::chrono::seconds{2} ||
      settings.shard_lease > std::chrono::hours{1}) {
    return invalid("SHARD_LEASE=" + format_duration(settings.shard_lease) +
                   " is not acceptable: expected 2s to 1h");
  }
  return {};
}

Result<void> check_storage(Command command, const Settings& settings) {
  constexpr std::uint32_t kSharing = kCollector | kApiGateway;
  if ((command & kSharing) == 0 || !settings.storage_uri.starts_with("embedded:")) return {};
  return invalid("STORAGE_URI='" + settings.storage_uri +
                 "' is not acceptable here: the embedded store belongs to one process, that of "
                 "all-in-one; expected mongodb://HOST");
}

// What no single setting shows.
Result<void> check_together(Command command, const Settings& settings) {
  if (auto fits = check_source(settings); !fits) return fits;
  if (auto fits = check_storage(command, settings); !fits) return fits;
  if (auto fits = only_one_of(settings, "REDIS_PASSWORD", "REDIS_PASSWORD_FILE"); !fits)
    return fits;
  if (auto fits = only_one_of(settings, "MONGODB_URI", "MONGODB_URI_FILE"); !fits) return fits;
  if (settings.tls_cert_file.empty() != settings.tls_key_file.empty()) {
    return invalid("TLS_CERT_FILE and TLS_KEY_FILE belong together: give both of them or none");
  }
  // Leases are extended every third of it; the queue extends none by more than a day.
  if (settings.visibility_timeout < std::chrono::seconds{1} ||
      settings.visibility_timeout > std::chrono::hours{24}) {
    return invalid("VISIBILITY_TIMEOUT=" + format_duration(settings.visibility_timeout) +
                   " is not acceptable: expected 1s to 24h");
  }
  return {};
}

}  // namespace

Environment process_environment() {
  return [](std::string_view variable) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(variable).c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

Result<CommandLine> parse_settings(Command command, const std::vector<std::string>& arguments,
                                   const Environment& environment, bool& wrong_usage) {
  CommandLine line;
  wrong_usage = false;
  for (const Option& option : option_table()) {
    auto set = Assignment(line.settings, option, option.flag, option.default_for(command)).run();
    if (!set) return internal("default of " + set.error().message);
  }
  if (auto read = read_environment(command, environment, line.settings); !read) {
    return read.error();
  }
  wrong_usage = true;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    if (auto read = read_flag(command, arguments, at, line); !read) return read.error();
  }
  wrong_usage = false;  // what does not fit together may come from either
  Settings& settings = line.settings;
  if (settings.is_given("CSV_PATH") && !settings.is_given("SOURCE")) settings.source = "csv";
  choose_storage(settings);
  if (auto fits = check_together(command, settings); !fits) return fits.error();
  return line;
}

}  // namespace gpu_telemetry::config
