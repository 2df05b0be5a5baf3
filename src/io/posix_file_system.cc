#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "io/file_system.h"

namespace gpu_telemetry::io {
namespace {

// "PATH: cannot ACTION: reason", under the code that tells the caller what to do about it.
Error system_error(const std::string& path, std::string_view action, int number) {
  Error error;
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      error.code = ErrorCode::kNotFound;
      break;
    case EEXIST:
      error.code = ErrorCode::kConflict;
      break;
    case ENOSPC:
    case EDQUOT:
      error.code = ErrorCode::kFull;
      break;
    default:
      error.code = ErrorCode::kUnavailable;
  }
  error.message =
      path + ": cannot " + std::string(action) + ": " + std::generic_category().message(number);
  return error;
}

// Calls again as long as a signal interrupts.
template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }

 private:
  int number_;
};

Result<Descriptor> open_descriptor(const std::string& path, int flags) {
  Descriptor opened(uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0640); }));
  if (opened.get() < 0) return system_error(path, "open", errno);
  return opened;
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, Descriptor descriptor)
      : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

  Result<std::size_t> read_at(std::uint64_t offset, void* out, std::size_t size) const override {
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got = uninterrupted([&] {
        return ::pread(descriptor_.get(), static_cast<char*>(out) + done, size - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return system_error(path_, "read", errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    std::size_t skip = 0;  // bytes of pieces.front() that are written already
    while (!pieces.empty()) {
      std::array<iovec, kMaxPieces> vectors;
      const std::size_t count = std::min(pieces.size(), vectors.size());
      for (std::size_t i = 0; i < count; ++i) {
        const std::string_view piece = i == 0 ? pieces[i].substr(skip) : pieces[i];
        vectors[i] = {const_cast<char*>(piece.data()), piece.size()};
      }
      const ssize_t wrote = uninterrupted([&] {
        return ::pwritev(descriptor_.get(), vectors.data(), static_cast<int>(count),
                         static_cast<off_t>(offset));
      });
      if (wrote < 0) return system_error(path_, "write", errno);
      if (wrote == 0 && skip < pieces.front().size()) return system_error(path_, "write", EIO);
      offset += static_cast<std::uint64_t>(wrote);
      auto left = static_cast<std::size_t>(wrote);
      while (!pieces.empty() && left >= pieces.front().size() - skip) {
        left -= pieces.front().size() - skip;
        skip = 0;
        pieces = pieces.subspan(1);
      }
      skip += left;
    }
    return {};
  }

  Result<void> sync_data() override {
    // Not repeated on EINTR: after any error the pages may be gone (see the header).
    if (::fdatasync(descriptor_.get()) != 0) return system_error(path_, "sync", errno);
    return {};
  }

  Result<void> preallocate(std::uint64_t size) override {
    int number;
    do {
      number = ::posix_fallocate(descriptor_.get(), 0, static_cast<off_t>(size));
    } while (number == EINTR);
    if (number != 0) {
      return system_error(path_, "reserve " + std::to_string(size) + " bytes", number);
    }
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    if (uninterrupted([&] { return ::ftruncate(descriptor_.get(), static_cast<off_t>(size)); })) {
      return system_error(path_, "truncate", errno);
    }
    return {};
  }

  Result<std::uint64_t> size() const override {
    struct stat status;
    if (::fstat(descriptor_.get(), &status) != 0) return system_error(path_, "stat", errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  // Well below IOV_MAX (1,024), and small enough for the stack.
  static constexpr std::size_t kMaxPieces = 256;

  const std::string path_;
  Descriptor descriptor_;
};

class PosixMappedFile final : public MappedFile {
 public:
  explicit PosixMappedFile(std::string_view bytes) : bytes_(bytes) {}
  PosixMappedFile(const PosixMappedFile&) = delete;
  PosixMappedFile& operator=(const PosixMappedFile&) = delete;
  ~PosixMappedFile() override {
    if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  std::string_view bytes() const override { return bytes_; }

 private:
  const std::string_view bytes_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;  // closing it releases the lock
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    const int flags = mode == OpenMode::kRead        ? O_RDONLY
                      : mode == OpenMode::kReadWrite ? O_RDWR
                                                     : O_RDWR | O_CREAT | O_EXCL;
    auto descriptor = open_descriptor(path, flags);
    if (!descriptor) return descriptor.error();
    return std::make_unique<PosixFile>(path, std::move(*descriptor));
  }

  Result<std::unique_ptr<MappedFile>> map(const std::string& path) override {
    auto descriptor = open_descriptor(path, O_RDONLY);
    if (!descriptor) return descriptor.error();
    struct stat status;
    if (::fstat(descriptor->get(), &status) != 0) return system_error(path, "stat", errno);
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) return std::make_unique<PosixMappedFile>(std::string_view());
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor->get(), 0);
    if (mapped == MAP_FAILED) return system_error(path, "map", errno);
    return std::make_unique<PosixMappedFile>(
        std::string_view(static_cast<const char*>(mapped), size));
  }

  Result<void> create_directories(const std::string& path) override {
    if (::mkdir(path.c_str(), 0750) == 0) return sync_directory(parent_folder(path));
    if (errno == ENOENT && parent_folder(path) != path) {
      if (auto parent = create_directories(parent_folder(path)); !parent) return parent;
      if (::mkdir(path.c_str(), 0750) == 0) return sync_directory(parent_folder(path));
    }
    if (errno != EEXIST) return system_error(path, "create the folder", errno);
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) return system_error(path, "stat", errno);
    if (!S_ISDIR(status.st_mode)) return system_error(path, "create the folder", EEXIST);
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    std::error_code error;
    std::vector<std::string> names;
    std::filesystem::directory_iterator entry(path, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      names.push_back(entry->path().filename().string());
    }
    if (error) return system_error(path, "list", error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<bool> exists(const std::string& path) override {
    struct stat status;
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return system_error(path, "stat", errno);
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return system_error(from, "rename to " + to, errno);
    }
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return system_error(path, "remove", errno);
    return {};
  }

  Result<void> sync_directory(const std::string& path) override {
    const auto descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY);
    if (!descriptor) return descriptor.error();
    if (::fsync(descriptor->get()) != 0) return system_error(path, "sync the folder", errno);
    return {};
  }

  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    auto descriptor = open_descriptor(path, O_RDWR | O_CREAT);
    if (!descriptor) return descriptor.error();
    if (uninterrupted([&] { return ::flock(descriptor->get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno == EWOULDBLOCK) {
        return conflict(path + ": is locked by another process; stop it, or use another folder");
      }
      return system_error(path, "lock", errno);
    }
    return std::make_unique<PosixFileLock>(std::move(*descriptor));
  }

  Result<std::uint64_t> free_space(const std::string& path) override {
    struct statvfs status;
    if (uninterrupted([&] { return ::statvfs(path.c_str(), &status); }) != 0) {
      return system_error(path, "read the free space", errno);
    }
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem files;
  return files;
}

}  // namespace gpu_telemetry::io
