#include "observability/log.h"
#include "services/assembly/assembly.h"
#include "storage/embedded/embedded_store.h"
#include "storage/mongodb/mongodb_store.h"
#include "wire/batch_wire.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::string_view kEmbedded = "embedded:";

template <class Store>
OpenStore both_of(std::unique_ptr<Store> store) {
  OpenStore open;
  open.telemetry = store.get();
  open.gpus = store.get();
  open.owner = std::shared_ptr<Store>(std::move(store));
  return open;
}

Result<OpenStore> open_embedded(const config::Settings& settings, const std::string& path,
                                observability::Metrics& metrics) {
  storage::embedded::EmbeddedStoreOptions options;
  options.path = path;
  options.codec = &wire::batch_codec();
  options.retention = settings.retention;
  options.head_size = share_of_memory(settings, options.head_size, 16);  // there may be two
  options.metrics = &metrics;
  storage::embedded::OpenReport report;
  auto store = storage::embedded::EmbeddedStore::open(options, &report);
  if (!store) return store.error();
  observability::log_info("store open", {{"path", path},
                                         {"files", report.files},
                                         {"journal_batches", report.journal_batches},
                                         {"torn_tail_bytes", report.torn_tail_bytes}});
  return both_of(std::move(*store));
}

// Goes on with the URI that stands in the file now.
class UriRotation {
 public:
  UriRotation(storage::mongodb::MongodbStore& store, std::function<std::string()> uri)
      : store_(store), uri_(std::move(uri)), used_(uri_()) {}
  void refresh() {
    std::string uri = uri_();
    if (uri == used_) return;
    used_ = std::move(uri);
    if (auto replaced = store_.replace_uri(used_); !replaced) {
      observability::log_error("the URI in MONGODB_URI_FILE cannot be used; the old one stays",
                               {{"reason", replaced.error().message}});
    }
  }

 private:
  storage::mongodb::MongodbStore& store_;
  const std::function<std::string()> uri_;
  std::string used_;
};

Result<OpenStore> open_mongodb(const config::Settings& settings, observability::Metrics& metrics) {
  storage::mongodb::MongodbStoreOptions options;
  std::function<std::string()> from_file;
  if (!settings.is_given("STORAGE_URI")) {
    auto secret = secret_from_file("MONGODB_URI_FILE", settings.mongodb_uri_file);
    if (!secret) return secret.error();
    from_file = std::move(*secret);
  }
  options.uri = from_file ? from_file() : settings.storage_uri;
  // The database of the URI counts when none was asked for by name.
  if (settings.is_given("MONGODB_DATABASE")) options.database = settings.mongodb_database;
  options.retention = settings.retention;
  options.metrics = &metrics;
  auto store = storage::mongodb::MongodbStore::open(std::move(options));
  if (!store) return store.error();
  std::function<void()> refresh;
  if (from_file) {
    auto rotation = std::make_shared<UriRotation>(**store, std::move(from_file));
    refresh = [rotation] { rotation->refresh(); };
  }
  OpenStore open = both_of(std::move(*store));
  open.refresh = std::move(refresh);
  return open;
}

}  // namespace

std::string embedded_store_path(const config::Settings& settings) {
  const std::string& uri = settings.storage_uri;
  return uri.starts_with(kEmbedded) ? uri.substr(kEmbedded.size()) : std::string();
}

Result<OpenStore> open_store(const config::Settings& settings, observability::Metrics& metrics) {
  const std::string& uri = settings.storage_uri;
  if (uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://") ||
      settings.is_given("MONGODB_URI_FILE")) {
    return open_mongodb(settings, metrics);
  }
  const std::string path = embedded_store_path(settings);
  if (!path.empty()) return open_embedded(settings, path, metrics);
  return invalid("STORAGE_URI='" + uri.substr(0, uri.find('@')) +
                 "' is not acceptable: expected embedded:PATH or mongodb://HOST");
}

}  // namespace gpu_telemetry::services
