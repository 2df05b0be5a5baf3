// The seam through which every durable byte goes: the segment log and the embedded store do all
// their file access here, so that a test can cut the power (simulated_file_system.h).
//
// Paths are plain strings; `.` and `..` are not interpreted. Every function may be called from any
// thread; one File is used by one thread at a time unless a function says otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/result.h"

namespace gpu_telemetry::io {

// An open file. The destructor closes it and syncs nothing.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `size` bytes at `offset`; fewer only at the end of the file. Thread-safe.
  // Errors: kUnavailable with the path and the system's reason.
  virtual Result<std::size_t> read_at(std::uint64_t offset, void* out, std::size_t size) const = 0;

  // Writes all the pieces one after the other from `offset` on (pwritev). On an error any part of
  // them may have been written. Errors: kFull when the device or quota is full, else kUnavailable.
  virtual Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) = 0;

  // fdatasync. After an error the state of what was written is unknown and the caller must not try
  // again on this file: the kernel may have dropped the dirty pages and reported it only once.
  virtual Result<void> sync_data() = 0;

  // Reserves blocks so that later writes below `size` cannot fail for want of space, and grows the
  // file to `size` (posix_fallocate). Errors: kFull, kUnavailable.
  virtual Result<void> preallocate(std::uint64_t size) = 0;

  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() const = 0;
};

// Read-only bytes of a whole file, mapped. Valid as long as the object lives, also after the file
// is unlinked. A read error of the device (SIGBUS) is not survivable: check sizes first.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::string_view bytes() const = 0;
};

// Held until destroyed. Released by the kernel when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // must not exist; read and write
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // Errors of all of these: kNotFound, kConflict (exists already, or locked by another process),
  // kFull, kUnavailable; each names the path and the system's reason.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<std::unique_ptr<MappedFile>> map(const std::string& path) = 0;
  // Creates the folder and those above it that are missing, durably. No error when it is there.
  virtual Result<void> create_directories(const std::string& path) = 0;
  // Names (not paths) of what is in the folder, sorted.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;
  // Atomically replaces `to`. Durable only after sync_directory of its folder.
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  // Removing what is not there is an error (kNotFound).
  virtual Result<void> remove(const std::string& path) = 0;
  // Makes creations, renames and removals in the folder durable.
  virtual Result<void> sync_directory(const std::string& path) = 0;
  // An exclusive advisory lock (flock) on the file, created when it is not there.
  // Errors: kConflict when another process, or another lock of this one, holds it.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
  // Bytes free for this user on the file system of `path`.
  virtual Result<std::uint64_t> free_space(const std::string& path) = 0;
};

// The real one. One instance for the whole process.
FileSystem& posix_file_system();

// The folder that `path` lies in: `/a` of `/a/b`, `.` of `b`, `/` of `/a` and of `/`.
std::string parent_folder(const std::string& path);

// The whole content of a file. Errors as above, and kFull past `limit` bytes.
Result<std::string> read_file(FileSystem& files, const std::string& path, std::uint64_t limit);

// Publishes `content` as `path` so that after a power cut there is either the old file or the new
// one, whole: writes `path`.tmp, syncs it, renames it, syncs the folder.
Result<void> write_file_atomically(FileSystem& files, const std::string& path,
                                   std::string_view content);

}  // namespace gpu_telemetry::io
