// The server that the tests of this room run against: TEST_MONGODB_URI when it is set, else one
// that tests/servers/mongodb.sh starts for this process.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "storage/mongodb/connections.h"
#include "storage/mongodb/mongodb_store.h"

namespace gpu_telemetry::storage::mongodb {

class TestServer {
 public:
  // The one of this process. Started by the environment that test_server.cc registers, which skips
  // all tests with the reason when there is none, and fails them when CI=true.
  static TestServer& instance();
  ~TestServer();

  // Empty when it is there.
  const std::string& reason_for_none() const { return reason_; }
  const std::string& uri() const { return uri_; }

  // False: it is somebody else's, and cannot be killed.
  bool is_ours() const { return is_ours_; }
  // SIGKILL; then a new one on the same port, ready.
  void kill();
  void start();

  // Whether it knows what only a real MongoDB does; else why not, for a skip.
  bool is_real() const { return is_real_; }
  static constexpr const char* kStandIn =
      "the stand-in, mongo-java-server, cannot: set TEST_MONGODB_URI or put a mongod on PATH";

 private:
  TestServer();
  bool find_out_what_it_is();

  std::string uri_;
  std::string reason_;
  std::string folder_;
  int port_ = 0;
  pid_t process_ = -1;
  bool is_ours_ = false;
  bool is_real_ = false;
};

// A database of its own for one test, gone with it.
class TestDatabase {
 public:
  TestDatabase();
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  // To be changed before open().
  MongodbStoreOptions& options() { return options_; }
  const std::string& name() const { return options_.database; }
  // Opens it, again when it is open.
  void open();
  void close() { store_.reset(); }
  MongodbStore& store() { return *store_; }

  // Past the store, as a person with mongosh would.
  Connection connection();
  // The reply to a command, as extended JSON. "" after an error, which goes to `error`.
  std::string run(const std::string& command_json, std::string* error = nullptr);

 private:
  MongodbStoreOptions options_;
  std::unique_ptr<MongodbStore> store_;
  std::shared_ptr<const ConnectionPool> pool_;
};

}  // namespace gpu_telemetry::storage::mongodb
