#include "storage/embedded/catalogue.h"

#include <fmt/format.h>

namespace gpu_telemetry::storage::embedded {

namespace {

constexpr const char* kTables = R"sql(
CREATE TABLE files (
  partition INTEGER NOT NULL,
  sequence  INTEGER NOT NULL,
  level     INTEGER NOT NULL,
  version   INTEGER NOT NULL,
  PRIMARY KEY (partition, sequence, level)
) WITHOUT ROWID;
CREATE TABLE journal (
  floor INTEGER NOT NULL
);
INSERT INTO journal (floor) VALUES (0);
CREATE TABLE gpus (
  uuid       BLOB NOT NULL PRIMARY KEY,
  device_id  TEXT NOT NULL,
  gpu_index  TEXT NOT NULL,
  model_name TEXT NOT NULL,
  hostname   TEXT NOT NULL,
  container  TEXT NOT NULL,
  pod        TEXT NOT NULL,
  namespace  TEXT NOT NULL,
  labels     BLOB NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE attribution (
  uuid      BLOB NOT NULL,
  start     INTEGER NOT NULL,
  end       INTEGER NOT NULL,
  container TEXT NOT NULL,
  pod       TEXT NOT NULL,
  namespace TEXT NOT NULL,
  PRIMARY KEY (uuid, start)
) WITHOUT ROWID;
)sql";

constexpr std::int32_t kApplicationId = [] {
  std::int32_t id = 0;
  for (const char c : DatabaseFile::kApplication) id = id << 8 | c;
  return id;
}();

Result<std::int64_t> single_integer(Database& database, std::string_view sql) {
  auto statement = database.prepare(sql);
  if (!statement) return statement.error();
  const auto row = statement->step();
  if (!row) return row.error();
  if (!*row) return corrupt(fmt::format("catalogue: no answer to \"{}\"", sql));
  return statement->integer(0);
}

Result<void> run_on_entry(Statement& statement, const FileEntry& entry) {
  statement.bind(1, entry.partition)
      .bind(2, static_cast<std::int64_t>(entry.sequence))
      .bind(3, entry.level);
  return statement.run();
}

}  // namespace

Result<std::unique_ptr<Catalogue>> Catalogue::open(io::FileSystem& files, const std::string& path,
                                                   bool& created) {
  auto database = Database::open(files, path);
  if (!database) return database.error();
  std::unique_ptr<Catalogue> catalogue(new Catalogue(std::move(*database)));
  const auto prepared = catalogue->prepare_tables(created);
  if (!prepared) return prepared.error();
  return catalogue;
}

Result<void> Catalogue::prepare_tables(bool& created) {
  const auto version = single_integer(*database_, "PRAGMA user_version");
  if (!version) return version.error();
  if (*version > kVersion) {
    return invalid(fmt::format(
        "catalogue version {} is newer than this program, which reads {}; use the newer program",
        *version, kVersion));
  }
  const auto checked = database_->check_structure();
  if (!checked) return checked;
  created = *version == 0;
  const std::string& missing = database_->mended().missing;
  if (*version == kVersion && !missing.empty()) {
    mended_.push_back(missing + (database_->mended().is_twice
                                     ? " is missing; made anew from the other of the two files"
                                     : " is missing, and the disk is too full to make it anew"));
  }
  // Programs that know nothing of the copy must not write past it.
  if (*version == 2 && database_->mended().is_twice) {
    const auto stamped =
        database_->execute(fmt::format("PRAGMA user_version={};", kVersion).c_str());
    // On a full disk it is read all the same.
    const bool is_full = !stamped && stamped.error().code == ErrorCode::kFull;
    return is_full ? Result<void>() : stamped;
  }
  if (!created) return {};
  auto transaction = Transaction::begin(*database_);
  if (!transaction) return transaction.error();
  const auto tables = database_->execute(kTables);
  if (!tables) return tables;
  const auto stamped = database_->execute(
      fmt::format("PRAGMA user_version={}; PRAGMA application_id={};", kVersion, kApplicationId)
          .c_str());
  if (!stamped) return stamped;
  return transaction->commit();
}

Result<std::vector<FileEntry>> Catalogue::files() {
  const std::lock_guard lock(mutex_);
  auto statement = database_->prepare("SELECT partition, sequence, level, version FROM files");
  if (!statement) return statement.error();
  std::vector<FileEntry> entries;
  while (true) {
    const auto row = statement->step();
    if (!row) return row.error();
    if (!*row) return entries;
    entries.push_back({statement->integer(0), static_cast<std::uint64_t>(statement->integer(1)),
                       static_cast<std::uint32_t>(statement->integer(2)),
                       static_cast<std::uint32_t>(statement->integer(3))});
  }
}

Result<std::uint64_t> Catalogue::journal_floor() {
  const std::lock_guard lock(mutex_);
  const auto floor = single_integer(*database_, "SELECT floor FROM journal");
  if (!floor) return floor.error();
  return static_cast<std::uint64_t>(*floor);
}

Result<void> Catalogue::commit(const CatalogueChange& change) {
  const std::lock_guard lock(mutex_);
  auto transaction = Transaction::begin(*database_);
  if (!transaction) return transaction.error();
  {
    auto insert = database_->prepare(
        "INSERT OR REPLACE INTO files (partition, sequence, level, version) VALUES (?, ?, ?, ?)");
    if (!insert) return insert.error();
    for (const FileEntry& entry : change.added) {
      insert->bind(4, entry.version);
      const auto run = run_on_entry(*insert, entry);
      if (!run) return run;
    }
    auto remove =
        database_->prepare("DELETE FROM files WHERE partition = ? AND sequence = ? AND level = ?");
    if (!remove) return remove.error();
    for (const FileEntry& entry : change.removed) {
      const auto run = run_on_entry(*remove, entry);
      if (!run) return run;
    }
    if (change.journal_floor) {
      auto update = database_->prepare("UPDATE journal SET floor = ?");
      if (!update) return update.error();
      const auto run = update->bind(1, static_cast<std::int64_t>(*change.journal_floor)).run();
      if (!run) return run;
    }
  }
  const auto committed = transaction->commit();
  if (!committed || !change.journal_floor) return committed;
  const auto emptied = database_->empty_log();
  return emptied ? Result<void>() : emptied.error();
}

}  // namespace gpu_telemetry::storage::embedded
