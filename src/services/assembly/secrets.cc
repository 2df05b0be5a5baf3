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

Result<std::shared_ptr<tls::TlsContext>> server_tls(const config::Settings& settings) {
  if (settings.tls_cert_file.empty()) return std::shared_ptr<tls::TlsContext>();
  auto context =
      tls::TlsContext::for_server(settings.tls_cert_file, settings.tls_key_file, system_clock());
  if (!context) return context.error().at("TLS_CERT_FILE, TLS_KEY_FILE");
  return context;
}

Result<std::shared_ptr<tls::TlsContext>> client_tls(const config::Settings& settings) {
  if (settings.tls_ca_file.empty()) return std::shared_ptr<tls::TlsContext>();
  auto context = tls::TlsContext::for_client(settings.tls_ca_file, system_clock());
  if (!context) return context.error().at("TLS_CA_FILE");
  return context;
}

std::string process_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return std::string(host.data()) + "-" + std::to_string(::getpid());
}

}  // namespace gpu_telemetry::services
