#include "storage/embedded/seam_vfs.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

namespace gpu_telemetry::storage::embedded {

struct SeamVfs::State {
  io::FileSystem& files;
  std::atomic<bool> sync_failed{false};
  DatabaseFile* database = nullptr;  // while a connection has it open
};

namespace {

constexpr int kLongestPath = 4096;

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

struct OpenFile {
  SeamVfs::State* vfs = nullptr;
  std::unique_ptr<io::File> file;
  std::string path;
  // Its entry in the folder is not durable yet: synced with the first sync of the file itself.
  bool is_new = false;
};

// What SQLite allocates for a file: the base that it knows, then ours.
struct SeamFile {
  sqlite3_file base;
  OpenFile* open;
};

OpenFile& open_file(sqlite3_file* file) { return *reinterpret_cast<SeamFile*>(file)->open; }

int code_of(const Error& error, int otherwise) {
  return error.code == ErrorCode::kFull ? SQLITE_FULL : otherwise;
}

int close_file(sqlite3_file* file) {
  OpenFile& open = open_file(file);
  if (open.file.get() == open.vfs->database) open.vfs->database = nullptr;
  delete reinterpret_cast<SeamFile*>(file)->open;
  reinterpret_cast<SeamFile*>(file)->open = nullptr;
  return SQLITE_OK;
}

int read_from(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  const auto wanted = static_cast<std::size_t>(size);
  const auto read = open_file(file).file->read_at(static_cast<std::uint64_t>(offset), out, wanted);
  if (!read) {
    return read.error().code == ErrorCode::kCorrupt ? SQLITE_IOERR_DATA : SQLITE_IOERR_READ;
  }
  if (*read == wanted) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + *read, 0, wanted - *read);
  return SQLITE_IOERR_SHORT_READ;
}

int write_to(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  OpenFile& open = open_file(file);
  if (open.vfs->sync_failed) return SQLITE_IOERR_WRITE;
  const std::array<std::string_view, 1> pieces = {
      std::string_view(static_cast<const char*>(bytes), static_cast<std::size_t>(size))};
  const auto written = open.file->write_at(static_cast<std::uint64_t>(offset), pieces);
  return written ? SQLITE_OK : code_of(written.error(), SQLITE_IOERR_WRITE);
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  if (open_file(file).vfs->sync_failed) return SQLITE_IOERR_TRUNCATE;
  const auto done = open_file(file).file->truncate(static_cast<std::uint64_t>(size));
  return done ? SQLITE_OK : code_of(done.error(), SQLITE_IOERR_TRUNCATE);
}

int sync_file(sqlite3_file* file, int) {
  OpenFile& open = open_file(file);
  std::atomic<bool>& failed = open.vfs->sync_failed;
  if (failed) return SQLITE_IOERR_FSYNC;
  if (const auto synced = open.file->sync_data(); !synced) {
    // See DatabaseFile::sync_data: it is synced, and only its copy is not.
    const bool is_database = open.file.get() == open.vfs->database;
    if (is_database && synced.error().code == ErrorCode::kFull) return SQLITE_FULL;
    failed = true;
    return SQLITE_IOERR_FSYNC;
  }
  if (!open.is_new) return SQLITE_OK;
  if (!open.vfs->files.sync_directory(folder_of(open.path))) {
    failed = true;
    return SQLITE_IOERR_DIR_FSYNC;
  }
  open.is_new = false;
  return SQLITE_OK;
}

int size_of_file(sqlite3_file* file, sqlite3_int64* size) {
  const auto found = open_file(file).file->size();
  if (!found) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(*found);
  return SQLITE_OK;
}

int no_lock(sqlite3_file*, int) { return SQLITE_OK; }
int nothing_reserved(sqlite3_file*, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}
int no_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 4096; }
// Nothing is promised of what a power cut does to a write.
int device_characteristics(sqlite3_file*) { return 0; }

const sqlite3_io_methods& file_methods() {
  static const sqlite3_io_methods methods = [] {
    sqlite3_io_methods m{};
    m.iVersion = 1;
    m.xClose = close_file;
    m.xRead = read_from;
    m.xWrite = write_to;
    m.xTruncate = truncate_file;
    m.xSync = sync_file;
    m.xFileSize = size_of_file;
    m.xLock = no_lock;
    m.xUnlock = no_lock;
    m.xCheckReservedLock = nothing_reserved;
    m.xFileControl = no_control;
    m.xSectorSize = sector_size;
    m.xDeviceCharacteristics = device_characteristics;
    return m;
  }();
  return methods;
}

SeamVfs::State& state_of(sqlite3_vfs* vfs) { return *static_cast<SeamVfs::State*>(vfs->pAppData); }
io::FileSystem& file_system(sqlite3_vfs* vfs) { return state_of(vfs).files; }

Result<void> open_database(io::FileSystem& files, OpenFile& open, bool may_create) {
  auto opened = DatabaseFile::open(files, open.path, may_create);
  if (!opened) return opened.error();
  open.is_new = (*opened)->is_new();
  open.vfs->database = opened->get();
  open.file = std::move(*opened);
  return {};
}

Result<void> open_log(io::FileSystem& files, OpenFile& open, bool may_create) {
  auto opened = files.open(open.path, io::OpenMode::kReadWrite);
  if (!opened && opened.error().code == ErrorCode::kNotFound && may_create) {
    opened = files.open(open.path, io::OpenMode::kCreate);
    open.is_new = true;
  }
  if (!opened) return opened.error();
  open.file = std::move(*opened);
  return {};
}

int open_path(sqlite3_vfs* vfs, const char* name, sqlite3_file* out, int flags, int* out_flags) {
  auto* const file = reinterpret_cast<SeamFile*>(out);
  file->base.pMethods = nullptr;
  if (name == nullptr) return SQLITE_CANTOPEN;
  io::FileSystem& files = file_system(vfs);
  auto open = std::make_unique<OpenFile>();
  open->vfs = &state_of(vfs);
  open->path = name;
  const bool may_create = (flags & SQLITE_OPEN_CREATE) != 0;
  const auto opened = (flags & SQLITE_OPEN_MAIN_DB) != 0 ? open_database(files, *open, may_create)
                                                         : open_log(files, *open, may_create);
  if (!opened) return code_of(opened.error(), SQLITE_CANTOPEN);
  if (out_flags != nullptr) *out_flags = flags;
  file->open = open.release();
  file->base.pMethods = &file_methods();
  return SQLITE_OK;
}

int delete_path(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  if (state_of(vfs).sync_failed) return SQLITE_IOERR_DELETE;
  io::FileSystem& files = file_system(vfs);
  const auto removed = files.remove(name);
  if (!removed) {
    return removed.error().code == ErrorCode::kNotFound ? SQLITE_IOERR_DELETE_NOENT
                                                        : SQLITE_IOERR_DELETE;
  }
  if (sync_folder != 0 && !files.sync_directory(folder_of(name))) {
    state_of(vfs).sync_failed = true;
    return SQLITE_IOERR_DIR_FSYNC;
  }
  return SQLITE_OK;
}

int access_path(sqlite3_vfs* vfs, const char* name, int, int* result) {
  const auto found = file_system(vfs).exists(name);
  if (!found) return SQLITE_IOERR_ACCESS;
  *result = *found ? 1 : 0;
  return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* name, int size, char* out) {
  const std::size_t length = std::strlen(name);
  if (length >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

// Only salts and row ids use it.
int randomness(sqlite3_vfs*, int size, char* out) {
  sqlite3_vfs* const system = sqlite3_vfs_find(nullptr);
  return system->xRandomness(system, size, out);
}

int sleep_for(sqlite3_vfs*, int microseconds) { return microseconds; }

int current_time(sqlite3_vfs*, double* julian_day) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  *julian_day = 2440587.5 + std::chrono::duration<double>(now).count() / 86400.0;
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

SeamVfs::SeamVfs(io::FileSystem& files)
    : name_(fmt::format("gpu-telemetry-{}", static_cast<const void*>(this))),
      state_(new State{files}),
      vfs_(std::make_unique<sqlite3_vfs>()) {
  sqlite3_initialize();
  *vfs_ = sqlite3_vfs{};
  vfs_->iVersion = 1;
  vfs_->szOsFile = sizeof(SeamFile);
  vfs_->mxPathname = kLongestPath;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = state_.get();
  vfs_->xOpen = open_path;
  vfs_->xDelete = delete_path;
  vfs_->xAccess = access_path;
  vfs_->xFullPathname = full_path;
  vfs_->xRandomness = randomness;
  vfs_->xSleep = sleep_for;
  vfs_->xCurrentTime = current_time;
  vfs_->xGetLastError = last_error;
  sqlite3_vfs_register(vfs_.get(), 0);
}

Result<DatabaseFile::Mended> SeamVfs::mend_database() {
  if (state_->database == nullptr) return internal("no database is open");
  return state_->database->mend();
}

SeamVfs::~SeamVfs() { sqlite3_vfs_unregister(vfs_.get()); }

}  // namespace gpu_telemetry::storage::embedded
