#include "observability/log.h"
#include "services/assembly/assembly.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services {

Result<std::string> embedded_store_path(const config::Settings& settings) {
  constexpr std::string_view kScheme = "embedded:";
  const std::string& uri = settings.storage_uri;
  if (uri.starts_with(kScheme) && uri.size() > kScheme.size()) return uri.substr(kScheme.size());
  return invalid("STORAGE_URI='" + uri + "' is not acceptable: expected embedded:PATH");
}

Result<std::unique_ptr<storage::embedded::EmbeddedStore>> open_embedded_store(
    const config::Settings& settings, observability::Metrics& metrics) {
  auto path = embedded_store_path(settings);
  if (!path) return path.error();
  storage::embedded::EmbeddedStoreOptions options;
  options.path = *path;
  options.codec = &wire::batch_codec();
  options.retention = settings.retention;
  options.metrics = &metrics;
  storage::embedded::OpenReport report;
  auto store = storage::embedded::EmbeddedStore::open(options, &report);
  if (!store) return store.error();
  for (const std::string& damage : report.damage) {
    observability::log_error("the store is damaged", {{"damage", damage}});
  }
  observability::log_info("store open", {{"path", *path},
                                         {"files", report.files},
                                         {"journal_batches", report.journal_batches},
                                         {"torn_tail_bytes", report.torn_tail_bytes}});
  return store;
}

}  // namespace gpu_telemetry::services
