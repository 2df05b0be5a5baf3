// The durable list of what a store consists of: PATH/catalogue.db. docs/formats/store.md has its
// tables.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "domain/result.h"
#include "storage/embedded/database.h"
#include "storage/embedded/file_set.h"

namespace gpu_telemetry::storage::embedded {

// One step from one set of files to the next, taken as a whole or not at all.
struct CatalogueChange {
  std::vector<FileEntry> added;
  std::vector<FileEntry> removed;
  // Journal segments with lower numbers hold nothing that is not in a file.
  std::optional<std::uint64_t> journal_floor;
};

// Thread-safe.
class Catalogue {
 public:
  // 1: pages without checksums; it is read, and stays as it is. 2: without a copy; it gets one.
  static constexpr int kVersion = 3;

  // Creates it when it is not there; `created` tells.
  // Errors: kCorrupt, kInvalid (a newer version), kFull, kUnavailable.
  static Result<std::unique_ptr<Catalogue>> open(io::FileSystem& files, const std::string& path,
                                                 bool& created);

  // What was damaged or lost and is whole again, by its copy.
  const std::vector<std::string>& mended() const { return mended_; }

  Result<std::vector<FileEntry>> files();
  Result<std::uint64_t> journal_floor();
  // Durable when it returns. With a new floor everything stands in the database itself: its log has
  // only what the journal from the floor on has as well, in case it is damaged.
  Result<void> commit(const CatalogueChange& change);

  // For the GPUs' tables (gpu_registry.h): the connection, which is the caller's while it holds the
  // lock.
  struct Access {
    std::unique_lock<std::mutex> lock;
    Database& database;
  };
  Access access() { return {std::unique_lock(mutex_), *database_}; }

 private:
  explicit Catalogue(std::unique_ptr<Database> database)
      : database_(std::move(database)), mended_(database_->mended().damage) {}
  Result<void> prepare_tables(bool& created);

  std::mutex mutex_;
  const std::unique_ptr<Database> database_;
  std::vector<std::string> mended_;
};

}  // namespace gpu_telemetry::storage::embedded
