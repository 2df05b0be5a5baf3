#include <algorithm>

#include "io/memory_limit.h"
#include "observability/log.h"
#include "services/assembly/assembly.h"

namespace gpu_telemetry::services {

ByteSize share_of_memory(const config::Settings& fitted, ByteSize usual, std::uint64_t parts) {
  if (fitted.memory_limit.bytes == 0) return usual;
  return std::min(usual, ByteSize{fitted.memory_limit.bytes / parts});
}

config::Settings fit_to_memory(config::Settings settings) {
  const bool given = settings.memory_limit.bytes != 0;
  if (!given) settings.memory_limit = io::memory_limit();
  observability::log_info("memory that this process may use",
                          {{"bytes", settings.memory_limit.bytes},
                           {"by", given ? "MEMORY_LIMIT" : "the control group or the machine"}});
  if (settings.queue_engine == "redis") return settings;  // which holds the messages
  const ByteSize share = share_of_memory(settings, settings.buffer_bytes);
  if (share == settings.buffer_bytes) return settings;
  if (!settings.is_given("BUFFER_BYTES")) {
    settings.buffer_bytes = share;
  } else if (settings.buffer_bytes.bytes > settings.memory_limit.bytes / 2) {
    observability::log_warn("BUFFER_BYTES is more than half of the memory",
                            {{"buffer_bytes", settings.buffer_bytes.bytes},
                             {"memory", settings.memory_limit.bytes},
                             {"right", "lower it, or raise the memory limit"}});
  }
  return settings;
}

}  // namespace gpu_telemetry::services
