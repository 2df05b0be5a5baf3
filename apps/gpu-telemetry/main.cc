// gpu-telemetry: one program, a subcommand for each service and tool.

#include <csignal>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "config/settings.h"
#include "observability/build_info.h"
#include "observability/log.h"

namespace gpu_telemetry::app {
namespace {

struct Subcommand {
  std::string_view name;  // one word or two
  config::Command command;
  std::string_view summary;
  int (*run)(const config::Settings&);
};

constexpr Subcommand kSubcommands[] = {
    {"all-in-one", config::kAllInOne,
     "The whole pipeline in one process, with the embedded store and no other server.",
     run_all_in_one},
    {"streamer", config::kStreamer, "Reads telemetry and publishes it to a queue elsewhere.",
     run_streamer},
    {"queue-service", config::kQueueService,
     "Serves the message queue over HTTP, on disk, in memory or on Redis.", run_queue_service},
    {"collector", config::kCollector, "Takes telemetry from a queue elsewhere and stores it.",
     run_collector},
    {"api-gateway", config::kApiGateway, "Answers over HTTP what is stored in MongoDB.",
     run_api_gateway},
    {"simulate", config::kSimulate, "Writes the telemetry of a simulated fleet as CSV.",
     run_simulate},
    {"store check", config::kStoreCheck,
     "Reads an embedded store that no process has open and names all damage.", run_store_check},
    {"health", config::kHealth, "Asks a running service whether it is ready.", run_health},
};

void print(std::string_view text, std::FILE* to) { std::fwrite(text.data(), 1, text.size(), to); }

std::string overview() {
  std::string text =
      "gpu-telemetry carries what every GPU of a fleet is doing to where somebody asks.\n\n"
      "usage: gpu-telemetry COMMAND [--FLAG VALUE ...]\n\n";
  const auto line = [&text](std::string_view name, std::string_view summary) {
    text += "  " + std::string(name);
    text.append(name.size() < 16 ? 16 - name.size() : 1, ' ');
    text += std::string(summary) + "\n";
  };
  for (const Subcommand& each : kSubcommands) line(each.name, each.summary);
  line("configuration", "Prints every setting of every command as a Markdown page.");
  line("openapi", "Prints the OpenAPI document of the API, or of the queue service.");
  line("version", "Prints the version.");
  return text + "\n`gpu-telemetry COMMAND --help` lists the settings of a command.\n";
}

// Takes the words of a subcommand's name off the front of `arguments`; null when it names none.
const Subcommand* take_subcommand(std::vector<std::string>& arguments) {
  for (const Subcommand& each : kSubcommands) {
    const std::size_t space = each.name.find(' ');
    const std::size_t words = space == std::string_view::npos ? 1 : 2;
    if (arguments.size() < words) continue;
    const std::string given = words == 1 ? arguments[0] : arguments[0] + " " + arguments[1];
    if (given != each.name) continue;
    arguments.erase(arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(words));
    return &each;
  }
  return nullptr;
}

int run_subcommand(const Subcommand& subcommand, const std::vector<std::string>& arguments) {
  bool wrong_usage = false;
  const auto line = config::parse_settings(subcommand.command, arguments,
                                           config::process_environment(), wrong_usage);
  if (!line) {
    complain(line.error().message);
    return wrong_usage ? kUsage : kFailure;
  }
  if (line->help) {
    const std::string usage =
        "gpu-telemetry " + std::string(subcommand.name) + " [--FLAG VALUE ...]";
    print(config::help_text(subcommand.command, usage, subcommand.summary), stdout);
    return kSuccess;
  }
  using observability::LogFormat;
  const auto level = observability::parse_log_level(line->settings.log_level);
  const std::string& format = line->settings.log_format;
  observability::configure_logging(*level,
                                   format == "json"   ? LogFormat::kJson
                                   : format == "text" ? LogFormat::kText
                                                      : LogFormat::kAuto,
                                   std::string(subcommand.name));
  return subcommand.run(line->settings);
}

// Commands whose name begins with `first`, for somebody who wrote only that.
std::string complaint_about(const std::string& first) {
  std::string message = "unknown command '" + first + "'";
  std::string longer;
  for (const Subcommand& each : kSubcommands) {
    if (!each.name.starts_with(first + " ")) continue;
    longer += (longer.empty() ? " (did you mean '" : "', '") + std::string(each.name);
  }
  return message + (longer.empty() ? " (see gpu-telemetry --help)" : longer + "'?)");
}

int run(std::vector<std::string> arguments) {
  if (arguments.empty()) {
    print(overview(), stderr);
    return kUsage;
  }
  const std::string first = arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    print(overview(), stdout);
    return kSuccess;
  }
  if (first == "version" || first == "--version") {
    const std::string text = "gpu-telemetry " + std::string(observability::build_info().version) +
                             " (" + std::string(observability::build_info().revision) + ")\n";
    print(text, stdout);
    return kSuccess;
  }
  if (first == "configuration") {
    print(config::configuration_page(), stdout);
    return kSuccess;
  }
  if (first == "openapi") return run_openapi(std::span(arguments).subspan(1));
  const Subcommand* subcommand = take_subcommand(arguments);
  if (subcommand == nullptr) {
    complain(complaint_about(first));
    return kUsage;
  }
  return run_subcommand(*subcommand, arguments);
}

}  // namespace

void complain(std::string_view message) {
  const std::string line = "gpu-telemetry: " + std::string(message) + "\n";
  print(line, stderr);
}

}  // namespace gpu_telemetry::app

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const std::span<char*> words(argv, static_cast<std::size_t>(argc));
    return gpu_telemetry::app::run({words.begin() + 1, words.end()});
  } catch (const std::exception& defect) {
    gpu_telemetry::app::complain(std::string("internal error: ") + defect.what());
    return gpu_telemetry::app::kFailure;
  }
}
