#include <algorithm>
#include <string>

#include "config/settings.h"

namespace gpu_telemetry::config {
namespace {

constexpr std::size_t kFlagWidth = 28;
constexpr std::size_t kVariableWidth = 26;

void append_padded(std::string& out, std::string_view text, std::size_t width) {
  out += text;
  out.append(text.size() < width ? width - text.size() : 1, ' ');
}

bool uses_short_name(const Option& option, Command command) {
  return (option.short_commands & command) != 0 && !option.short_flag.empty();
}

}  // namespace

std::string help_text(Command command, std::string_view usage, std::string_view summary) {
  std::string text = "usage: " + std::string(usage) + "\n\n" + std::string(summary) +
                     "\n\nSettings are flags or environment variables; the flag wins.\n\n";
  for (const Option& option : option_table()) {
    if ((option.commands & command) == 0) continue;
    const bool brief = uses_short_name(option, command);
    std::string flag = "  --" + std::string(brief ? option.short_flag : option.flag);
    std::string variable(option.variable);
    if (brief && !option.short_variable.empty()) {
      variable = std::string(option.short_variable) + ", " + variable;
    }
    append_padded(text, flag, kFlagWidth);
    append_padded(text, variable, kVariableWidth);
    text += "[" + std::string(option.form) + "]";
    const std::string_view default_value = option.default_for(command);
    if (!default_value.empty()) text += " default " + std::string(default_value);
    text += "\n      " + std::string(option.help) + "\n";
  }
  return text;
}

std::string configuration_page() {
  struct Section {
    Command command;
    std::string_view title;
  };
  constexpr Section kSections[] = {
      {kAllInOne, "gpu-telemetry all-in-one"},        {kStreamer, "gpu-telemetry streamer"},
      {kQueueService, "gpu-telemetry queue-service"}, {kCollector, "gpu-telemetry collector"},
      {kApiGateway, "gpu-telemetry api-gateway"},     {kSimulate, "gpu-telemetry simulate"},
      {kStoreCheck, "gpu-telemetry store check"},     {kHealth, "gpu-telemetry health"}};
  std::string page =
      "# Configuration\n\n"
      "Made by `gpu-telemetry configuration` from the table that the program itself reads; "
      "do not edit.\n\n"
      "Every setting is a flag and, where a variable is named, an environment variable; the flag "
      "wins. A value that cannot be read ends the program with a line that names the setting and "
      "the "
      "accepted form, and with status 2 when it was a flag, 1 when it was a variable. Durations "
      "are written as in Go (`100ms`, `1h30m`) and with "
      "`d` for days; sizes as `64MiB`.\n";
  for (const Section& section : kSections) {
    page += "\n## " + std::string(section.title) +
            "\n\n| Flag | Variable | Default | Accepted | What it does |\n|---|---|---|---|---|\n";
    for (const Option& option : option_table()) {
      if ((option.commands & section.command) == 0) continue;
      const bool brief = uses_short_name(option, section.command);
      std::string variable =
          option.variable.empty() ? "" : "`" + std::string(option.variable) + "`";
      if (brief && !option.short_variable.empty()) {
        variable += ", `" + std::string(option.short_variable) + "`";
      }
      std::string form(option.form);
      for (std::size_t at = 0; (at = form.find('|', at)) != std::string::npos; at += 2) {
        form.replace(at, 1, "\\|");
      }
      std::string default_value(option.default_for(section.command));
      if (!default_value.empty()) default_value = "`" + default_value + "`";
      page += "| `--" + std::string(brief ? option.short_flag : option.flag) + "` | " + variable +
              " | " + default_value + " | " + form + " | " + std::string(option.help) + " |\n";
    }
  }
  return page;
}

}  // namespace gpu_telemetry::config
