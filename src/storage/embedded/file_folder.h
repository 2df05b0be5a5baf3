// PATH/files: where immutable files are written, published, opened and removed.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "domain/result.h"
#include "io/file_system.h"
#include "storage/embedded/file_set.h"
#include "storage/embedded/metric_table.h"
#include "storage/embedded/series_file.h"

namespace gpu_telemetry::storage::embedded {

// A file's own numbering of metrics: names in ascending order.
class FileMetrics {
 public:
  // `ids`: the store's numbers, in any order, once each.
  FileMetrics(const MetricTable& table, const std::vector<std::uint32_t>& ids);
  const std::vector<std::string>& names() const { return names_; }
  // By the file's number.
  const std::vector<std::uint32_t>& ids() const { return ids_; }
  // The file's number of the store's number, which must be one of `ids`.
  std::uint32_t number(std::uint32_t id) const { return numbers_[id]; }

 private:
  std::vector<std::string> names_;
  std::vector<std::uint32_t> ids_;
  std::vector<std::uint32_t> numbers_;
};

// Thread-safe, as far as no two threads handle one file.
class FileFolder {
 public:
  // `path` is the store's folder.
  FileFolder(io::FileSystem& files, const std::string& path, MetricTable& metrics);

  Result<void> create();
  // Names of what lies in the folder.
  Result<std::vector<std::string>> list();

  // Writes a file of `entry` under a temporary name and syncs it; `fill` adds its GPUs and tells
  // whether there were any. On an error, or when there were none, nothing stays behind. False:
  // none.
  Result<bool> write(const FileEntry& entry, const FileMetrics& metrics, Timestamp stored_at,
                     const std::function<Result<bool>(SeriesFileWriter&)>& fill);
  // Gives written files their names, durably. Until the catalogue knows them they are orphans.
  Result<void> publish(std::span<const FileEntry> entries);

  Result<StoredFilePointer> open(const FileEntry& entry);
  Result<void> remove(const std::string& name);
  // Moves it to PATH/damaged, where nothing touches it any more.
  Result<void> set_aside(const std::string& name);
  Result<void> sync();

  std::string path_of(const std::string& name) const { return folder_ + "/" + name; }

 private:
  io::FileSystem& files_;
  const std::string folder_;
  const std::string damaged_;
  MetricTable& metrics_;
};

// Moves `path` into the folder `damaged`, under its name and a number where that is taken.
Result<void> set_file_aside(io::FileSystem& files, const std::string& path,
                            const std::string& damaged);

}  // namespace gpu_telemetry::storage::embedded
