#include "storage/embedded/database.h"

#include <sqlite3.h>

#include <utility>

namespace gpu_telemetry::storage::embedded {

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      bind_error_(other.bind_error_) {}

Statement& Statement::bind(int parameter, std::int64_t value) {
  if (bind_error_ == SQLITE_OK) bind_error_ = sqlite3_bind_int64(statement_, parameter, value);
  return *this;
}

Statement& Statement::bind_text(int parameter, std::string_view value) {
  if (bind_error_ == SQLITE_OK) {
    bind_error_ = sqlite3_bind_text64(statement_, parameter, value.data() ? value.data() : "",
                                      value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return *this;
}

Statement& Statement::bind_blob(int parameter, std::string_view value) {
  if (bind_error_ == SQLITE_OK) {
    bind_error_ = sqlite3_bind_blob64(statement_, parameter, value.data() ? value.data() : "",
                                      value.size(), SQLITE_TRANSIENT);
  }
  return *this;
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) {
    const Error error = database_->error(bind_error_);
    reset();
    return error;
  }
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  const Error error = database_->error(code);
  reset();
  return error;
}

Result<void> Statement::run() {
  const auto row = step();
  if (!row) return row.error();
  reset();
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view Statement::bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_, column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Statement::reset() {
  sqlite3_reset(statement_);
  bind_error_ = SQLITE_OK;
}

Result<std::unique_ptr<Database>> Database::open(io::FileSystem& files, const std::string& path) {
  std::unique_ptr<Database> database(new Database(files, path));
  const int code = sqlite3_open_v2(path.c_str(), &database->connection_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                   database->vfs_.name());
  if (code != SQLITE_OK) {
    sqlite3* const connection = database->connection_;
    return database->error(connection != nullptr ? sqlite3_extended_errcode(connection) : code);
  }
  sqlite3_extended_result_codes(database->connection_, 1);
  // Of a database that is new; others stay as they are.
  int reserved = DatabaseFile::kReservedBytes;
  sqlite3_file_control(database->connection_, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  const auto set_up = database->execute(
      "PRAGMA page_size=4096;"  // DatabaseFile::kPageSize
      "PRAGMA locking_mode=EXCLUSIVE;"
      "PRAGMA temp_store=MEMORY;"
      "PRAGMA journal_mode=WAL;"
      "PRAGMA synchronous=FULL;"
      "PRAGMA cell_size_check=ON;"
      "PRAGMA cache_size=-4096;");
  if (!set_up) return set_up.error();
  // A process whose commit could not be synced, and that was then ended, leaves a log that is
  // readable and yet not on the device. Copying it writes and syncs anew all that is read from here
  // on.
  const auto emptied = database->empty_log();
  if (!emptied) return emptied.error();
  if (!*emptied) return database;
  auto mended = database->vfs_.mend_database();
  if (!mended) return mended.error();
  database->mended_ = std::move(*mended);
  return database;
}

Database::~Database() { sqlite3_close(connection_); }

Result<void> Database::execute(const char* sql) {
  const int code = sqlite3_exec(connection_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code);
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(connection_, sql.data(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  if (code != SQLITE_OK) return error(code);
  return Statement(*this, statement);
}

Result<bool> Database::empty_log() {
  const auto copied = execute("PRAGMA wal_checkpoint(TRUNCATE);");
  if (copied) return true;
  if (copied.error().code == ErrorCode::kFull) return false;
  return copied.error();
}

Result<void> Database::check_structure() {
  if (mended_.lost_pages > 0) return error(SQLITE_IOERR_DATA);
  auto statement = prepare("PRAGMA quick_check(1)");
  if (!statement) return statement.error();
  const auto row = statement->step();
  if (!row) return row.error();
  const std::string answer(*row ? statement->bytes(0) : std::string_view("no answer"));
  if (answer == "ok") return {};
  return corrupt(path_ + ": " + answer.substr(answer.rfind('\n') + 1));
}

Error Database::error(int code) const {
  const char* const reason =
      connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_);
  std::string text = path_ + ": " + reason;
  if (code == SQLITE_IOERR_DATA) {
    return corrupt(path_ + ": a page differs from its checksum, in its copy too");
  }
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return corrupt(std::move(text));
    case SQLITE_FULL:
      return full(std::move(text));
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_BUSY:
    case SQLITE_NOMEM:
      return unavailable(std::move(text));
    default:
      return internal(std::move(text));
  }
}

Result<Transaction> Transaction::begin(Database& database) {
  const auto begun = database.execute("BEGIN IMMEDIATE");
  if (!begun) return begun.error();
  return Transaction(database);
}

Transaction::~Transaction() {
  // What is undone was never promised; an error of the undoing itself leaves nothing to do either.
  if (database_ != nullptr) (void)database_->execute("ROLLBACK");
}

Result<void> Transaction::commit() {
  const auto committed = database_->execute("COMMIT");
  if (!committed) return committed;  // the destructor undoes it
  database_ = nullptr;
  return {};
}

}  // namespace gpu_telemetry::storage::embedded
