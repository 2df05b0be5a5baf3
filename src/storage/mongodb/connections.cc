#include "storage/mongodb/connections.h"

#include <fmt/format.h>

#include <cstdlib>
#include <mutex>

#include "observability/log.h"
#include "storage/mongodb/secrets.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

constexpr const char* kDefaultDatabase = "gpu_telemetry";
constexpr const char* kAppName = "gpu-telemetry";

void log_driver_line(mongoc_log_level_t level, const char* domain, const char* message, void*) {
  static observability::LogLimiter limiter;
  if (level > MONGOC_LOG_LEVEL_WARNING) return;
  limiter.log(observability::LogLevel::kWarn, "MongoDB driver: " + without_secrets(message),
              {{"domain", domain}});
}

// Once a process; the driver is left as it is at exit, because a cursor may still be open.
void start_driver() {
  static std::once_flag once;
  std::call_once(once, [] {
    mongoc_log_set_handler(log_driver_line, nullptr);
    mongoc_init();
  });
}

struct UriDeleter {
  void operator()(mongoc_uri_t* uri) const { mongoc_uri_destroy(uri); }
};
using Uri = std::unique_ptr<mongoc_uri_t, UriDeleter>;

Error wrong_uri(std::string_view why) {
  return invalid(fmt::format(
      "the MongoDB URI is wrong: {}; "
      "mongodb://[user:password@]host[:port][,...][/database][?options] or mongodb+srv://... is "
      "right, with %-escapes for : / ? # [ ] @ in the user and the password",
      without_secrets(why)));
}

void set_unless_given(mongoc_uri_t* uri, const char* option, std::int64_t value) {
  if (!mongoc_uri_has_option(uri, option)) {
    mongoc_uri_set_option_as_int32(uri, option, static_cast<std::int32_t>(value));
  }
}

Result<Uri> parse(const MongodbStoreOptions& options) {
  remember_secrets(options.uri);
  bson_error_t error{};
  Uri uri(mongoc_uri_new_with_error(options.uri.c_str(), &error));
  if (!uri) return wrong_uri(error.message);
  set_unless_given(uri.get(), MONGOC_URI_MAXPOOLSIZE, options.max_connections);
  set_unless_given(uri.get(), MONGOC_URI_WAITQUEUETIMEOUTMS, options.connection_wait.count());
  set_unless_given(uri.get(), MONGOC_URI_CONNECTTIMEOUTMS, options.connect_timeout.count());
  set_unless_given(uri.get(), MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
                   options.server_selection_timeout.count());
  set_unless_given(uri.get(), MONGOC_URI_SOCKETTIMEOUTMS, options.operation_timeout.count());
  if (mongoc_uri_get_appname(uri.get()) == nullptr) mongoc_uri_set_appname(uri.get(), kAppName);
  return uri;
}

// https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
Result<void> check_database_name(std::string_view name) {
  constexpr std::string_view kForbidden("/\\. \"$*<>:|?\0", 13);
  if (!name.empty() && name.size() < 64 &&
      name.find_first_of(kForbidden) == std::string_view::npos) {
    return {};
  }
  return invalid(
      fmt::format("\"{}\" cannot name a MongoDB database: 1 to 63 bytes are right, none of them a "
                  "space or one of / \\ . \" $ * < > : | ?",
                  name.substr(0, 80)));
}

std::string hosts_of(const mongoc_uri_t* uri) {
  if (const char* service = mongoc_uri_get_srv_hostname(uri); service != nullptr) return service;
  std::string hosts;
  for (const auto* host = mongoc_uri_get_hosts(uri); host != nullptr; host = host->next) {
    if (!hosts.empty()) hosts += ',';
    hosts += host->host_and_port;
  }
  return hosts;
}

}  // namespace

ErrorCode error_code_of(std::uint32_t code) {
  switch (code) {
    case 12501:  // quota exceeded
    case 14031:  // OutOfDiskSpace
      return ErrorCode::kFull;
    case 121:    // DocumentValidationFailure
    case 10334:  // BSONObjectTooLarge
    case 17419:  // the document after an update is too large
    case 17420:
      return ErrorCode::kInvalid;
    default:
      return ErrorCode::kUnavailable;
  }
}

Result<std::shared_ptr<const ConnectionPool>> ConnectionPool::open(
    const MongodbStoreOptions& options) {
  start_driver();
  const auto uri = parse(options);
  if (!uri) return uri.error();
  const char* in_uri = mongoc_uri_get_database(uri->get());
  std::string database = options.database;
  if (database.empty()) database = in_uri != nullptr ? in_uri : kDefaultDatabase;
  const auto checked = check_database_name(database);
  if (!checked) return checked.error();
  bson_error_t error{};
  mongoc_client_pool_t* pool = mongoc_client_pool_new_with_error(uri->get(), &error);
  if (pool == nullptr) return wrong_uri(error.message);
  mongoc_client_pool_set_error_api(pool, MONGOC_ERROR_API_VERSION_2);
  return std::shared_ptr<const ConnectionPool>(
      new ConnectionPool(pool, std::move(database), hosts_of(uri->get())));
}

ConnectionPool::~ConnectionPool() { mongoc_client_pool_destroy(pool_); }

Result<Connection> ConnectionPool::take() const {
  mongoc_client_t* client = mongoc_client_pool_pop(pool_);
  if (client == nullptr) {
    return unavailable("MongoDB " + hosts_ +
                       ": every connection of the pool stayed in use; more are had by maxPoolSize "
                       "in the URI");
  }
  return Connection(shared_from_this(), client);
}

Connection::~Connection() {
  if (client_ != nullptr) mongoc_client_pool_push(pool_->pool_, client_);
}

Collection Connection::collection(const char* name) const {
  return Collection(mongoc_client_get_collection(client_, pool_->database().c_str(), name));
}

Result<void> Connection::run(const Document& command, std::string_view doing, bson_t* reply) const {
  bson_error_t error{};
  bson_t ignored;
  bson_t* answer = reply != nullptr ? reply : &ignored;
  const bool done = mongoc_client_command_simple(client_, pool_->database().c_str(), command.get(),
                                                 nullptr, answer, &error);
  if (reply == nullptr) bson_destroy(&ignored);
  if (!done) return this->error(doing, error);
  return {};
}

Error Connection::error(std::string_view doing, const bson_error_t& error) const {
  std::string message = fmt::format("MongoDB {}, database {}: {}: {}", pool_->hosts(),
                                    pool_->database(), doing, without_secrets(error.message));
  const bool by_server = error.domain == MONGOC_ERROR_SERVER ||
                         error.domain == MONGOC_ERROR_COMMAND ||
                         error.domain == MONGOC_ERROR_WRITE_CONCERN;
  if (by_server && error.code != 0) message += fmt::format(" (code {})", error.code);
  ErrorCode code = by_server ? error_code_of(error.code) : ErrorCode::kUnavailable;
  // MongoDB Atlas has one code for whatever it refuses.
  if (by_server && std::string_view(error.message).find("space quota") != std::string_view::npos) {
    code = ErrorCode::kFull;
  }
  // The driver's own check before it sends.
  if (error.domain == MONGOC_ERROR_BSON) code = ErrorCode::kInvalid;
  return {code, std::move(message)};
}

Result<void> Connection::end_of(const Cursor& cursor, std::string_view doing) const {
  bson_error_t error{};
  if (mongoc_cursor_error(cursor.get(), &error)) return this->error(doing, error);
  return {};
}

}  // namespace gpu_telemetry::storage::mongodb
