// Lets SQLite reach its files through io::FileSystem, so that a test can cut the power under it.
#pragma once

#include <memory>
#include <string>

#include "io/file_system.h"
#include "storage/embedded/database_file.h"

struct sqlite3_vfs;

namespace gpu_telemetry::storage::embedded {

// An SQLite VFS over a file system, registered under a name of its own while it lives. It has no
// locks and no shared memory: connections use `locking_mode=EXCLUSIVE`, and the store's LOCK keeps
// others out. Temporary files are refused: connections use `temp_store=MEMORY`. Connections are
// closed before it is destroyed.
//
// The database itself is a DatabaseFile: a page that is damaged in both of its files is not read,
// SQLITE_IOERR_DATA.
//
// After a failed sync of a file or folder it lets nothing more be written, because the system may
// have dropped what it reported only once: a commit that seemed to follow would lie behind a hole.
// Reading goes on.
class SeamVfs {
 public:
  struct State;  // internal

  explicit SeamVfs(io::FileSystem& files);
  ~SeamVfs();
  SeamVfs(const SeamVfs&) = delete;
  SeamVfs& operator=(const SeamVfs&) = delete;

  const char* name() const { return name_.c_str(); }
  // DatabaseFile::mend of the database that is open.
  Result<DatabaseFile::Mended> mend_database();

 private:
  std::string name_;
  std::unique_ptr<State> state_;
  std::unique_ptr<sqlite3_vfs> vfs_;
};

}  // namespace gpu_telemetry::storage::embedded
