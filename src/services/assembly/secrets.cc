#include <unistd.h>

#include <array>

#include "domain/clock.h"
#include "io/secret_file.h"
#include "observability/log.h"
#include "services/assembly/assembly.h"

namespace gpu_telemetry::services {

Result<std::function<std::string()>> secret_from_file(std::string_view variable,
                                                      const std::string& path) {
  if (path.empty()) return std::function<std::string()>();
  auto note = [name = std::string(variable)](const Result<void>& change) {
    if (change) {
      observability::log_info("a secret was read again: its file has changed",
                              {{"variable", name}});
    } else {
      observability::log_error("a secret's file has changed and cannot be used; the old one stays",
                               {{"variable", name}, {"reason", change.error().message}});
    }
  };
  auto secret = io::SecretFile::open(path, system_clock(), std::move(note));
  if (!secret) return secret.error().at(variable);
  return std::function<std::string()>([file = std::move(*secret)] { return file->text(); });
}

std::string process_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return std::string(host.data()) + "-" + std::to_string(::getpid());
}

}  // namespace gpu_telemetry::services
