// Runs the tests when there is a redis-server. Otherwise CI (CI=true) fails, and everybody else is
// told what to install.
#include <gmock/gmock.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "queue/redis/redis_test_server.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  if (!gpu_telemetry::queue::RedisTestServer::program()) {
    std::cerr << "There is no redis-server: install it (Debian: apt-get install redis-server, or "
                 "scripts/install-dependencies.sh --test).\n";
    const char* ci = std::getenv("CI");
    return ci != nullptr && std::string_view(ci) == "true" ? 1 : 77;  // 77: skipped
  }
  return RUN_ALL_TESTS();
}
