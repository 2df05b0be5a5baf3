// For tests: a server that answers each request with bytes it was given, right or wrong.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace gpu_telemetry::http {

class ScriptedServer {
 public:
  // Instead of an answer: keeps the connection open and says nothing until the client closes it.
  static constexpr std::string_view kSilence = "(silence)";

  // For each connection in order, the answers to its requests; after the last it is closed. An
  // empty answer closes it too.
  using Answers = std::vector<std::string_view>;
  using Script = std::vector<Answers>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    // A sockaddr_in is a sockaddr to these calls.
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    ::bind(listener_, generic, size);
    ::listen(listener_, 16);
    ::getsockname(listener_, generic, &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    for (std::thread& thread : talkers_joinable()) thread.join();
    ::close(listener_);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  std::string received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  void wait_for_requests(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return requests_ >= count; });
  }

 private:
  std::vector<std::thread> talkers_joinable() {
    thread_.join();
    return std::move(talkers_);
  }

  void run() {
    for (const auto& answers : script_) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      ++connections_;
      talkers_.emplace_back([this, connection, &answers] { talk(connection, answers); });
    }
  }

  void talk(int connection, const std::vector<std::string_view>& answers) {
    for (const std::string_view answer : answers) {
      std::string input;
      char part[4096];
      while (input.find("\r\n\r\n") == std::string::npos) {
        const ssize_t size = ::recv(connection, part, sizeof part, 0);
        if (size <= 0) break;
        input.append(part, static_cast<std::size_t>(size));
      }
      if (input.empty()) break;
      {
        const std::lock_guard lock(mutex_);
        received_ += input;
        ++requests_;
      }
      changed_.notify_all();
      if (answer == kSilence) {
        while (::recv(connection, part, sizeof part, 0) > 0) {
        }
        break;
      }
      ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
    ::close(connection);
  }

  const Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string received_;  // guarded by mutex_
  int requests_ = 0;      // guarded by mutex_
  std::vector<std::thread> talkers_;
  std::thread thread_;
};

}  // namespace gpu_telemetry::http
