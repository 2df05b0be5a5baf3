// What the settings ask for, made: the parts that several services have in common.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.h"
#include "domain/result.h"
#include "observability/health.h"
#include "observability/metrics.h"
#include "queue/message_queue.h"
#include "services/collector/collector.h"
#include "services/streamer/streamer.h"
#include "sources/source.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"
#include "tls/tls_context.h"

namespace gpu_telemetry::services {

StreamerOptions streamer_options(const config::Settings& settings);
// The same for a streamer whose source others read too: its shards are leased by the queue, unless
// SHARD_INDEX or SHARD_COUNT give it a fixed part.
StreamerOptions shared_streamer_options(const config::Settings& settings);
CollectorOptions collector_options(const config::Settings& settings);

// The settings with MEMORY_LIMIT as it is, and with what is not given lowered to fit it. Zero stays
// when nobody knows. Of the memory, each thing that grows with what others send or ask gets an
// eighth: messages, dead letters, samples not in files yet, and in the HTTP server
// (ServerOptions::memory) connections, bodies and unread answers.
config::Settings fit_to_memory(config::Settings settings);
// The lesser of `usual` and a share of the memory of fitted settings, such as an eighth.
ByteSize share_of_memory(const config::Settings& fitted, ByteSize usual, std::uint64_t parts = 8);

// The source of SOURCE. Errors: of the source, saying which setting chooses another one.
Result<std::unique_ptr<sources::Source>> open_source(const config::Settings& settings);

// A queue, and a way to ask what is behind it.
struct OpenQueue {
  std::unique_ptr<queue::MessageQueue> queue;
  // Whether what the queue stands on answers, and sentences about what is unsafe there; empty when
  // nothing outside of this process is behind it. Refers to the queue.
  std::function<boost::asio::awaitable<Result<std::vector<std::string>>>()> check;
};

// The engine of QUEUE_ENGINE. `default_path` is the durable queue's folder when QUEUE_DATA_DIR
// names none; a write of it that fails makes `health` fail. `consumers_are_local`: see
// DurableQueueOptions. `executor` runs timers and connections; its context outlives the queue.
// Damage is logged. Errors: of the engine, or of a file with a secret.
Result<OpenQueue> open_queue_engine(const config::Settings& settings,
                                    const std::string& default_path, bool consumers_are_local,
                                    boost::asio::any_io_executor executor,
                                    observability::Health& health);

// The queue of QUEUE_SERVICE_URL: a queue service, or Redis itself. Connects when it is used, and
// needs nobody there before. `executor` as above. Errors: kInvalid (the URL), or of a file with a
// secret.
Result<OpenQueue> connect_queue(const config::Settings& settings,
                                boost::asio::any_io_executor executor);

// The text of the file that `variable` names, now and at each call, read again when it changes,
// which is logged. Null when `path` is empty. Errors: of the file, naming the variable.
Result<std::function<std::string()>> secret_from_file(std::string_view variable,
                                                      const std::string& path);

// What this process serves HTTPS with, by TLS_CERT_FILE and TLS_KEY_FILE; null: it serves HTTP.
Result<std::shared_ptr<tls::TlsContext>> server_tls(const config::Settings& settings);

// Whom it trusts as a client, by TLS_CA_FILE; null: the system's authorities.
Result<std::shared_ptr<tls::TlsContext>> client_tls(const config::Settings& settings);

// Both repositories of one store. The references live as long as the owner.
struct OpenStore {
  std::shared_ptr<void> owner;
  storage::TelemetryRepository* telemetry = nullptr;
  storage::GpuRepository* gpus = nullptr;
  // Takes over rotated credentials; to be called now and then. Empty where there are none.
  std::function<void()> refresh;
};

// The store of STORAGE_URI. MongoDB is not asked yet; damage of an embedded one is logged. Errors:
// of the store, or of a file with a secret.
Result<OpenStore> open_store(const config::Settings& settings, observability::Metrics& metrics);

// The folder of an `embedded:PATH` STORAGE_URI; empty for any other.
std::string embedded_store_path(const config::Settings& settings);

// Names this process among the members of a group: host, process id.
std::string process_name();

}  // namespace gpu_telemetry::services
