#include "queue/redis/redis_scripts.h"

#include <openssl/evp.h>

#include "queue/redis/redis_reply.h"
#include "redis_scripts_lua.h"  // made of scripts/*.lua

namespace gpu_telemetry::queue {
namespace {

std::string sha1(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

// The first line of a script says whether Redis runs it after reaching maxmemory.
constexpr std::string_view kRefusedWithoutMemory = "#!lua\n";
constexpr std::string_view kAllowedWithoutMemory = "#!lua flags=allow-oom\n";

// Each script is joined of several texts. Arguments of all: KEYS[1] `{name}:meta`; ARGV 1
// `{name}:`, 2 milliseconds added to Redis's time, 3 topic. Those of a group: 4 group, 5
// redeliveries allowed, 6 dead letters kept, 7 their bytes. The text that gives a script its name
// says the others.
struct Loaded {
  std::array<std::string, kRedisScripts> sources;
  std::array<std::string, kRedisScripts> shas;

  Loaded() {
    const auto set = [this](RedisScript script, std::initializer_list<std::string_view> parts) {
      std::string& source = sources[static_cast<std::size_t>(script)];
      for (const std::string_view part : parts) source += part;
      shas[static_cast<std::size_t>(script)] = sha1(source);
    };
    using namespace lua;
    // Everything but a publish works when Redis has reached maxmemory: it frees, or is bounded.
    set(RedisScript::kPublish, {kRefusedWithoutMemory, kTopic, kBoard, kPublish});
    set(RedisScript::kFetch, {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kFetch});
    set(RedisScript::kAck, {kAllowedWithoutMemory, kTopic, kGroup, kAck});
    set(RedisScript::kNack, {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kNack});
    set(RedisScript::kExtend, {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kExtend});
    set(RedisScript::kDeadLetters,
        {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kLetters, kDeadLetters});
    set(RedisScript::kRedrive,
        {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kLetters, kRedrive});
    set(RedisScript::kPurge, {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kLetters, kPurge});
    set(RedisScript::kDeleteGroup,
        {kAllowedWithoutMemory, kTopic, kGroup, kRemoveGroup, kDeleteGroup});
    set(RedisScript::kStatistics,
        {kAllowedWithoutMemory, kTopic, kGroup, kExpire, kRemoveGroup, kBoard, kStatistics});
    set(RedisScript::kShareSource, {kAllowedWithoutMemory, kTopic, kBoard, kShareSource});
  }
};

const Loaded& loaded() {
  static const Loaded all;
  return all;
}

}  // namespace

const std::string& source_of(RedisScript script) {
  return loaded().sources[static_cast<std::size_t>(script)];
}

const std::string& sha_of(RedisScript script) {
  return loaded().shas[static_cast<std::size_t>(script)];
}

std::vector<std::string> load_commands() {
  std::vector<std::string> commands;
  for (const std::string& source : loaded().sources) {
    RedisCommand load(3, source.size());
    load.add("SCRIPT").add("LOAD").add(source);
    commands.push_back(load.take());
  }
  return commands;
}

}  // namespace gpu_telemetry::queue
