// What runs inside Redis. docs/formats/queue-redis.md describes the keys that the scripts keep.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace gpu_telemetry::queue {

enum class RedisScript {
  kPublish,
  kFetch,
  kAck,
  kNack,
  kExtend,
  kDeadLetters,
  kRedrive,
  kPurge,
  kDeleteGroup,
  kStatistics,
  kShareSource,
};
inline constexpr std::size_t kRedisScripts = 11;

// Ids, deliveries and letters of one call of a script. (Lua passes at most some 8,000 arguments.)
inline constexpr std::size_t kMaxScriptIds = 1'000;

// The text, and its SHA-1 in hexadecimal digits as EVALSHA takes it.
const std::string& source_of(RedisScript script);
const std::string& sha_of(RedisScript script);
// SCRIPT LOAD of each.
std::vector<std::string> load_commands();

}  // namespace gpu_telemetry::queue
