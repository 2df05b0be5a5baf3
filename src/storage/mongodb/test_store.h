// A store in a database of its own, for tests of other rooms: what test_server.h has, without the
// driver.
#pragma once

#include <memory>

#include "storage/mongodb/mongodb_store.h"

namespace gpu_telemetry::storage::mongodb {

// Its database goes with it.
class TestStore {
 public:
  virtual ~TestStore() = default;
  virtual MongodbStore& store() = 0;
};
// On TestServer::instance().
std::unique_ptr<TestStore> make_test_store();

}  // namespace gpu_telemetry::storage::mongodb
