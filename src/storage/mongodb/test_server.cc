#include "storage/mongodb/test_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "storage/mongodb/test_store.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

// A first start fetches the server; one that is there is ready in half a second.
constexpr std::chrono::seconds kPatience{60};

std::string script() { return std::string(GPU_TELEMETRY_ROOT) + "/tests/servers/mongodb.sh"; }

// A port that nobody listens on now.
int free_port() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = bind(socket_fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(socket_fd);
  return bound ? ntohs(address.sin_port) : 0;
}

class Environment : public testing::Environment {
 public:
  void SetUp() override {
    const std::string& reason = TestServer::instance().reason_for_none();
    if (reason.empty()) return;
    const char* ci = std::getenv("CI");
    if (ci != nullptr && std::string_view(ci) == "true") FAIL() << reason;
    GTEST_SKIP() << reason;
  }
};

[[maybe_unused]] const auto* const kEnvironment =
    testing::AddGlobalTestEnvironment(new Environment);

}  // namespace

TestServer& TestServer::instance() {
  static TestServer server;
  return server;
}

TestServer::TestServer() {
  if (const char* given = std::getenv("TEST_MONGODB_URI"); given != nullptr && *given != '\0') {
    uri_ = given;
    if (!find_out_what_it_is()) reason_ = "TEST_MONGODB_URI is set, and its server does not answer";
    return;
  }
  const int status = std::system((script() + " install > /dev/null").c_str());
  if (status != 0) {
    reason_ = "there is no server of the MongoDB protocol; the lines above say how to get one";
    return;
  }
  is_ours_ = true;
  port_ = free_port();
  uri_ = "mongodb://127.0.0.1:" + std::to_string(port_);
  folder_ =
      std::filesystem::temp_directory_path() / ("gpu-telemetry-mongo-" + std::to_string(port_));
  start();
}

TestServer::~TestServer() {
  if (process_ > 0) kill();
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

void TestServer::start() {
  const std::string program = script();
  const std::string port = std::to_string(port_);
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen("/dev/null", "w", stdout) == nullptr) _exit(1);
    execl(program.c_str(), program.c_str(), "run", port.c_str(), folder_.c_str(), nullptr);
    _exit(127);
  }
  if (!find_out_what_it_is()) reason_ = "the MongoDB server that was started does not answer";
}

void TestServer::kill() {
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

bool TestServer::find_out_what_it_is() {
  MongodbStoreOptions options;
  options.uri = uri_;
  options.database = "admin";
  options.server_selection_timeout = std::chrono::seconds{2};
  const auto pool = ConnectionPool::open(options);
  if (!pool) return false;
  const auto connection = (*pool)->take();
  if (!connection) return false;
  Document ping;
  ping.integer("ping", 1);
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!connection->run(ping, "asking a new server")) {
    if (std::chrono::steady_clock::now() > give_up) return false;
  }
  Document find;
  find.text("find", "nothing");
  Document explain;
  explain.document("explain", find);
  is_real_ = connection->run(explain, "asking for explain").has_value();
  return true;
}

TestDatabase::TestDatabase() {
  static std::atomic<int> next{0};
  options_.uri = TestServer::instance().uri();
  options_.database =
      "gpu_telemetry_test_" + std::to_string(getpid()) + "_" + std::to_string(next++);
}

TestDatabase::~TestDatabase() {
  close();
  run(R"({"dropDatabase": 1})");
}

void TestDatabase::open() {
  close();
  auto opened = MongodbStore::open(options_);
  ASSERT_TRUE(opened) << opened.error();
  store_ = std::move(*opened);
}

Connection TestDatabase::connection() {
  if (!pool_) {
    MongodbStoreOptions options = options_;
    options.uri = TestServer::instance().uri();
    pool_ = *ConnectionPool::open(options);
  }
  return *pool_->take();
}

std::string TestDatabase::run(const std::string& command_json, std::string* error) {
  bson_error_t parse_error{};
  bson_t* parsed = bson_new_from_json(reinterpret_cast<const std::uint8_t*>(command_json.data()),
                                      static_cast<ssize_t>(command_json.size()), &parse_error);
  if (parsed == nullptr) {
    ADD_FAILURE() << command_json << ": " << parse_error.message;
    return "";
  }
  Document command;
  bson_concat(command.get(), parsed);
  bson_destroy(parsed);
  bson_t reply;
  const auto done = connection().run(command, "a test's command", &reply);
  char* text = bson_as_relaxed_extended_json(&reply, nullptr);
  std::string answer = done ? text : "";
  bson_free(text);
  bson_destroy(&reply);
  if (!done && error != nullptr) *error = done.error().message;
  return answer;
}

namespace {

class StoreOfTestDatabase final : public TestStore {
 public:
  StoreOfTestDatabase() { database_.open(); }
  MongodbStore& store() override { return database_.store(); }

 private:
  TestDatabase database_;
};

}  // namespace

std::unique_ptr<TestStore> make_test_store() { return std::make_unique<StoreOfTestDatabase>(); }

}  // namespace gpu_telemetry::storage::mongodb
