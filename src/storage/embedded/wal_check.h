// Tells damage in SQLite's write-ahead log from the torn end that a crash leaves. SQLite itself
// takes both for the end, and forgets what stands behind.
#pragma once

#include <string>

#include "domain/result.h"
#include "io/file_system.h"

namespace gpu_telemetry::storage::embedded {

// Says where the log at `path` is damaged; an empty text when it is sound, torn at its end or not
// there. To be asked before the database is opened, which empties the log.
//
// The format is that of https://www.sqlite.org/fileformat.html#walformat. A transaction was synced
// before the next one is written: where frames of a later transaction follow one that does not
// check, it was whole once. Damage in the last transaction looks like a torn end.
Result<std::string> damage_of_wal(io::FileSystem& files, const std::string& path);

}  // namespace gpu_telemetry::storage::embedded
