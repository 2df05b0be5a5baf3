// Connections to the servers, and what they answer when they do not.
#pragma once

#include <mongoc/mongoc.h>

#include <memory>
#include <string>
#include <string_view>

#include "domain/result.h"
#include "storage/mongodb/bson.h"
#include "storage/mongodb/mongodb_store.h"

namespace gpu_telemetry::storage::mongodb {

struct CollectionDeleter {
  void operator()(mongoc_collection_t* collection) const { mongoc_collection_destroy(collection); }
};
using Collection = std::unique_ptr<mongoc_collection_t, CollectionDeleter>;

struct CursorDeleter {
  void operator()(mongoc_cursor_t* cursor) const { mongoc_cursor_destroy(cursor); }
};
using Cursor = std::unique_ptr<mongoc_cursor_t, CursorDeleter>;

class ConnectionPool;

// A client of the pool, given back when it is destroyed. Used by one thread at a time.
class Connection {
 public:
  Connection(std::shared_ptr<const ConnectionPool> pool, mongoc_client_t* client)
      : pool_(std::move(pool)), client_(client) {}
  ~Connection();
  Connection(Connection&& other) noexcept
      : pool_(std::move(other.pool_)), client_(std::exchange(other.client_, nullptr)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection& operator=(Connection&&) = delete;

  Collection collection(const char* name) const;
  // Runs a command on the database's primary. `reply` may be null.
  Result<void> run(const Document& command, std::string_view doing, bson_t* reply = nullptr) const;
  // What the driver or a server said, as ours: "MongoDB HOSTS: DOING: their words (CODE)".
  Error error(std::string_view doing, const bson_error_t& error) const;
  // The cursor's error, or none at its end.
  Result<void> end_of(const Cursor& cursor, std::string_view doing) const;

 private:
  std::shared_ptr<const ConnectionPool> pool_;
  mongoc_client_t* client_;
};

// Thread-safe.
class ConnectionPool : public std::enable_shared_from_this<ConnectionPool> {
 public:
  // Errors: kInvalid.
  static Result<std::shared_ptr<const ConnectionPool>> open(const MongodbStoreOptions& options);
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // Errors: kUnavailable, when all are taken for too long.
  Result<Connection> take() const;
  const std::string& database() const { return database_; }
  const std::string& hosts() const { return hosts_; }

 private:
  friend class Connection;
  ConnectionPool(mongoc_client_pool_t* pool, std::string database, std::string hosts)
      : pool_(pool), database_(std::move(database)), hosts_(std::move(hosts)) {}

  mongoc_client_pool_t* pool_;  // thread-safe by itself
  std::string database_;
  std::string hosts_;  // "a:27017,b:27017"
};

// Codes of MongoDB's error_codes.yml that we tell apart.
inline constexpr std::uint32_t kDuplicateKey = 11000;

// What a caller can do about a server's error code.
ErrorCode error_code_of(std::uint32_t code);

}  // namespace gpu_telemetry::storage::mongodb
