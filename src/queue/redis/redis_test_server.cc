#include "queue/redis/redis_test_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "queue/redis/redis_reply.h"

namespace gpu_telemetry::queue {

namespace asio = boost::asio;

std::uint16_t RedisTestServer::free_port() {
  asio::io_context context;
  const asio::ip::tcp::acceptor acceptor(
      context, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  return acceptor.local_endpoint().port();
}

std::optional<std::string> RedisTestServer::program() {
  for (const char* folder : {"/usr/bin/", "/usr/local/bin/", "/opt/homebrew/bin/"}) {
    const std::string path = std::string(folder) + "redis-server";
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return std::nullopt;
}

RedisTestServer::RedisTestServer(std::vector<std::string> arguments)
    : arguments_(std::move(arguments)), port_(free_port()) {
  if (!program()) throw std::runtime_error("redis-server is not installed");
  std::string name = (std::filesystem::temp_directory_path() / "redis-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  directory_ = name;
  start();
}

RedisTestServer::~RedisTestServer() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

RedisServer RedisTestServer::address() const {
  RedisServer server;
  server.port = port_;
  return server;
}

void RedisTestServer::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void RedisTestServer::freeze(bool frozen) { ::kill(process_, frozen ? SIGSTOP : SIGCONT); }

void RedisTestServer::start() {
  std::vector<std::string> words = {*program(),  "--port",           std::to_string(port_),
                                    "--bind",    "127.0.0.1",        "--dir",
                                    directory_,  "--save",           "",
                                    "--logfile", directory_ + "/log"};
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  process_ = fork();
  if (process_ == 0) {
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (std::chrono::steady_clock::now() < deadline) {
    try {
      if (ask({"PING"}).substr(0, 5) != "-LOAD") return;
    } catch (const std::exception&) {  // not there yet
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  throw std::runtime_error("redis-server did not come up; its log is in " + directory_);
}

std::string RedisTestServer::ask(const std::vector<std::string>& command) const {
  RedisCommand bytes(command.size());
  for (const std::string& word : command) bytes.add(std::string_view(word));
  asio::io_context context;
  asio::ip::tcp::socket socket(context);
  socket.connect({asio::ip::address_v4::loopback(), port_});
  asio::write(socket, asio::buffer(bytes.take()));
  std::string reply(64 << 10, '\0');
  reply.resize(socket.read_some(asio::buffer(reply)));
  return reply;
}

}  // namespace gpu_telemetry::queue
