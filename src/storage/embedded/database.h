// A thin layer over SQLite: errors as ours, statements that free themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "domain/result.h"
#include "storage/embedded/seam_vfs.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gpu_telemetry::storage::embedded {

class Database;

// A prepared statement. The first error sticks until reset: bind, step, then look at the result.
class Statement {
 public:
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Parameters count from 1. Bytes are copied.
  Statement& bind(int parameter, std::int64_t value);
  Statement& bind_text(int parameter, std::string_view value);
  Statement& bind_blob(int parameter, std::string_view value);

  // True when there is a row. At the end it is ready to be bound again.
  Result<bool> step();
  // Runs a statement that gives no rows.
  Result<void> run();

  // Columns count from 0. Views hold until the next step.
  std::int64_t integer(int column) const;
  std::string_view bytes(int column) const;

 private:
  friend class Database;
  Statement(Database& database, sqlite3_stmt* statement)
      : database_(&database), statement_(statement) {}
  void reset();

  Database* database_;
  sqlite3_stmt* statement_;
  int bind_error_ = 0;
};

// One connection, exclusive, in WAL mode with full synchronisation. Used by one thread at a time.
class Database {
 public:
  // Creates the file when it is not there.
  // Errors: kCorrupt (no database, or a damaged one), kFull, kUnavailable.
  static Result<std::unique_ptr<Database>> open(io::FileSystem& files, const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // What opening found damaged in one of the two files and made whole from the other.
  const DatabaseFile::Mended& mended() const { return mended_; }

  Result<void> execute(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  // Checks the structure of every page. kCorrupt with what it found first.
  Result<void> check_structure();
  // Copies what stands in the write-ahead log into the database, synced, and empties the log.
  // False: the disk is too full for that, which loses nothing.
  Result<bool> empty_log();

  Error error(int code) const;

 private:
  Database(io::FileSystem& files, std::string path) : vfs_(files), path_(std::move(path)) {}

  SeamVfs vfs_;
  std::string path_;
  sqlite3* connection_ = nullptr;
  DatabaseFile::Mended mended_;
};

// A transaction that is undone unless it is committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  ~Transaction();
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  // Durable when it returns.
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace gpu_telemetry::storage::embedded
