// A file system whose changes stay in memory: what lies below is read and never touched. It lets
// recovery run for `store check`, which mends nothing.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "io/file_system.h"

namespace gpu_telemetry::storage::embedded {

// A file is copied into memory when it is first changed. Thread-safe; one open File of a path at a
// time is enough for who uses it. `below` outlives it.
class OverlayFileSystem final : public io::FileSystem {
 public:
  explicit OverlayFileSystem(io::FileSystem& below) : below_(below) {}

  Result<std::unique_ptr<io::File>> open(const std::string& path, io::OpenMode mode) override;
  Result<std::unique_ptr<io::MappedFile>> map(const std::string& path) override;
  Result<void> create_directories(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::unique_ptr<io::FileLock>> lock(const std::string& path) override;
  Result<std::uint64_t> free_space(const std::string& path) override;

  // Contents in memory, shared between who has the file open. `size` may exceed what is stored: the
  // rest is zeros (a preallocated segment costs no memory).
  struct Content {
    std::mutex mutex;
    std::string bytes;
    std::uint64_t size = 0;
  };

 private:
  friend class OverlayFile;
  // The content in memory of `path`, copied from below when it is not there yet.
  Result<std::shared_ptr<Content>> writable(const std::string& path);

  io::FileSystem& below_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Content>> files_;  // null: removed
};

}  // namespace gpu_telemetry::storage::embedded
