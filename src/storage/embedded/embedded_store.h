// The store of the all-in-one: one process, one folder, no server.
//
//   PATH/LOCK            held while open
//   PATH/catalogue.db    SQLite: GPUs, attribution intervals, the list of files
//   PATH/journal/        the segment log of what is not in a file yet
//   PATH/files/          immutable series files (series_file.h)
//
// A write is journalled (fsync), then merged into the head, which is in memory and bounded; a full
// head is sealed into level-0 files, which are merged into partitions of two hours. Only after a
// file and its catalogue entry are durable is the journal behind it released.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "domain/batch_codec.h"
#include "domain/clock.h"
#include "domain/duration.h"
#include "domain/result.h"
#include "io/file_system.h"
#include "storage/gpu_repository.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::observability {
class Metrics;
}

namespace gpu_telemetry::storage::embedded {

struct EmbeddedStoreOptions {
  std::string path;                   // created when it is not there
  const BatchCodec* codec = nullptr;  // of the journal's batches; required
  // How long readings are kept after the later of their own time and their first storing. Zero: for
  // ever.
  std::chrono::milliseconds retention = std::chrono::days{30};
  // Memory of the samples that are not in a file yet; a full head may stay beside its successor
  // until it is in files, so up to twice as much. Raising it makes larger first files and fewer
  // merges, and costs memory and a longer start after a crash.
  ByteSize head_size = 64_MiB;
  std::chrono::milliseconds partition = std::chrono::hours{2};
  // Between background rounds of merging, expiry and verifying.
  std::chrono::milliseconds maintenance_interval = std::chrono::seconds{10};
  // False: maintenance happens only when maintain() is called (tests).
  bool background = true;
  io::FileSystem* files = nullptr;  // null: posix_file_system()
  const Clock* clock = nullptr;     // null: system_clock()
  observability::Metrics* metrics = nullptr;
};

// What opening found and mended.
struct OpenReport {
  std::uint64_t files = 0;
  std::uint64_t journal_batches = 0;  // replayed into the head
  std::uint64_t torn_tail_bytes = 0;
  std::vector<std::string> damage;  // one sentence each; what is damaged is not used
};

struct StoreStatistics {
  std::uint64_t files = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t file_samples = 0;
  std::uint64_t head_samples = 0;
  std::uint64_t head_bytes = 0;
  std::uint64_t journal_bytes = 0;
};

// Both repositories over one folder. Thread-safe.
class EmbeddedStore : public TelemetryRepository, public GpuRepository {
 public:
  // Errors: kConflict (another process has the store open), kUnavailable (folder not writable),
  // kFull, kInvalid (a newer version). Damage is in the report.
  static Result<std::unique_ptr<EmbeddedStore>> open(EmbeddedStoreOptions options,
                                                     OpenReport* report = nullptr);
  // Ends the background work, waits for cursors' pins to matter no more, and closes. The head stays
  // in the journal; nothing needs to be sealed.
  ~EmbeddedStore() override = default;

  // Seals the head into files now. For tests, backups and benchmarks.
  virtual Result<void> seal() = 0;
  // One round of merging, expiry and verifying, on this thread.
  virtual Result<void> maintain() = 0;
  virtual StoreStatistics statistics() = 0;
};

// Reads a store that is not open elsewhere, all of it, and names all damage; mends nothing. Empty:
// whole. Errors: kConflict, kNotFound, kUnavailable.
struct CheckReport {
  std::uint64_t files = 0;
  std::uint64_t samples = 0;
  std::uint64_t journal_records = 0;
  std::vector<std::string> damage;
};
Result<CheckReport> check_store(const EmbeddedStoreOptions& options);

}  // namespace gpu_telemetry::storage::embedded
