// Both repositories in a MongoDB database, which any number of collectors and gateways share.
//
// Collections (docs/formats/mongodb.md): `telemetry_points`, one document for each scrape;
// `telemetry_metrics`, which metrics a GPU has; `gpus`. They and their indexes are made when they
// are first needed. Writes are acknowledged by a majority, and journalled, before they return;
// neither the URI nor the server's defaults weaken that.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "domain/clock.h"
#include "domain/result.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::observability {
class Metrics;
}

namespace gpu_telemetry::storage::mongodb {

struct MongodbStoreOptions {
  // mongodb://[user:password@]host[:port][,...][/database][?options] or mongodb+srv://. TLS,
  // credentials, replica set and read preference are given here; what it says of time-outs and of
  // the pool's size beats the members below.
  std::string uri;
  // Empty: the URI's, and when it has none, "gpu_telemetry".
  std::string database;
  // How long readings are kept after the later of their own time and their first storing. Zero: for
  // ever. What is stored already keeps the time it was given.
  std::chrono::milliseconds retention = std::chrono::days{30};
  // At most so many connections, which is how many calls and open cursors go on at the same time;
  // others wait. Raising it costs a server about 1 MB for each connection.
  std::uint32_t max_connections = 32;
  // How long a call waits for one of them.
  std::chrono::milliseconds connection_wait = std::chrono::seconds{10};
  // Until a connection is made.
  std::chrono::milliseconds connect_timeout = std::chrono::seconds{5};
  // How long a call waits for a server that can serve it, such as a new primary.
  std::chrono::milliseconds server_selection_timeout = std::chrono::seconds{5};
  // Until a server's answer, and for how long a write may wait for its majority.
  std::chrono::milliseconds operation_timeout = std::chrono::seconds{30};
  const Clock* clock = nullptr;  // null: system_clock()
  observability::Metrics* metrics = nullptr;
};

// Errors beside those of the contracts: kUnavailable carries the server's own words, and never what
// the URI has of passwords; so do log lines. Refused credentials are kUnavailable too: the same
// again succeeds when they have been mended. kFull: the server is out of disk space or past a
// quota.
//
// A cursor keeps a connection until it is destroyed. It reads on while others write: a scrape that
// is stored after the query was made may be in the answer, or not.
class MongodbStore : public TelemetryRepository, public GpuRepository {
 public:
  // Asks no server: a store opens while MongoDB is away, and works when it is there. Errors:
  // kInvalid (the URI or the database's name).
  static Result<std::unique_ptr<MongodbStore>> open(MongodbStoreOptions options);
  ~MongodbStore() override = default;

  // Goes on with another URI, such as one with rotated credentials, for calls that begin from now
  // on; the database stays the same. Thread-safe. Errors: kInvalid, and the old one stays.
  virtual Result<void> replace_uri(const std::string& uri) = 0;
};

}  // namespace gpu_telemetry::storage::mongodb
