// Whether Redis is set up so that it keeps what it was given.
#include <map>

#include "queue/redis/redis_engine.h"
#include "queue/redis/redis_messages.h"

namespace gpu_telemetry::queue {
namespace {

std::map<std::string, std::string> pairs_of(const RedisReply& reply) {
  std::map<std::string, std::string> pairs;
  for (std::size_t i = 0; i + 1 < reply.elements.size(); i += 2) {
    pairs[reply.elements[i].text] = reply.elements[i + 1].text;
  }
  return pairs;
}

// The number behind `redis_version:` of INFO; zero when it is not there.
int major_version(const std::string& info) {
  const std::size_t at = info.find("redis_version:");
  return at == std::string::npos ? 0 : std::atoi(info.c_str() + at + 14);
}

void check_persistence(std::map<std::string, std::string>& settings,
                       std::vector<std::string>& warnings) {
  if (settings["appendonly"] != "yes") {
    warnings.emplace_back(
        "appendonly is \"" + settings["appendonly"] +
        "\": a restart of Redis loses messages that were accepted; set appendonly yes and "
        "appendfsync always");
  } else if (settings["appendfsync"] != "always") {
    warnings.emplace_back("appendfsync is \"" + settings["appendfsync"] +
                          "\": a crash of Redis's machine loses messages that were accepted in the "
                          "last moments; set appendfsync always");
  }
}

void check_eviction(std::map<std::string, std::string>& settings,
                    std::vector<std::string>& warnings) {
  if (settings["maxmemory"] == "0" || settings["maxmemory-policy"] == "noeviction") return;
  warnings.emplace_back("maxmemory-policy is \"" + settings["maxmemory-policy"] +
                        "\": Redis may throw messages away when memory is short; set "
                        "maxmemory-policy noeviction");
}

}  // namespace

Async<Result<std::vector<std::string>>> RedisEngine::check() {
  if (shut_down_) co_return shut_down_error();
  std::vector<std::string> commands;
  RedisCommand config(6);
  config.add("CONFIG").add("GET").add("appendonly").add("appendfsync").add("maxmemory");
  config.add("maxmemory-policy");
  commands.push_back(config.take());
  RedisCommand info(2);
  info.add("INFO").add("server");
  commands.push_back(info.take());
  auto answers = co_await commands_->call_all(std::move(commands));
  for (auto& answer : answers) {
    if (!answer) co_return answer.error();
  }
  std::vector<std::string> warnings;
  if (answers[0]->is_error()) {
    warnings.push_back("the settings of Redis cannot be read (CONFIG GET: " + answers[0]->text +
                       "): see for yourself that appendonly is yes, appendfsync always and "
                       "maxmemory-policy noeviction");
  } else {
    auto settings = pairs_of(*answers[0]);
    check_persistence(settings, warnings);
    check_eviction(settings, warnings);
  }
  const int version = major_version(answers[1]->text);
  if (version != 0 && version < 7) {
    warnings.push_back("Redis is version " + std::to_string(version) + ": 7.0 or newer is needed");
  }
  co_return warnings;
}

}  // namespace gpu_telemetry::queue
