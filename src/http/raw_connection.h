// For tests: a blocking socket that sends exactly the bytes it is told and reads answers back.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gpu_telemetry::http {

struct RawAnswer {
  int status = 0;
  std::string head;  // status line and header lines
  std::string body;  // chunks joined
  bool chunked = false;
  bool complete = false;  // its end was seen: all bytes, or the last chunk

  // The value of a header, or "(none)".
  std::string header(std::string_view name) const {
    std::string lower_head = head;
    std::string key = "\r\n" + std::string(name) + ": ";
    for (char& c : lower_head) c = static_cast<char>(std::tolower(c));
    for (char& c : key) c = static_cast<char>(std::tolower(c));
    const std::size_t at = lower_head.find(key);
    if (at == std::string::npos) return "(none)";
    const std::size_t start = at + key.size();
    return head.substr(start, head.find("\r\n", start) - start);
  }
};

class RawConnection {
 public:
  // `receive_buffer` in bytes; 0: the system's.
  explicit RawConnection(std::uint16_t port, int receive_buffer = 0) {
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const timeval limit{20, 0};  // a test that would hang fails instead
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // A sockaddr_in is a sockaddr to this call.
    connected_ =
        ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawConnection() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool connected() const { return connected_; }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // The server sees the end of what comes, and may still answer.
  void finish_sending() { ::shutdown(descriptor_, SHUT_WR); }
  // The server sees a broken connection.
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(std::exchange(descriptor_, -1));
  }

  // False at the end of the stream, a reset or after 20 s without a byte.
  bool receive() {
    char part[65536];
    const ssize_t size = ::recv(descriptor_, part, sizeof part, 0);
    if (size <= 0) return false;
    input_.append(part, static_cast<std::size_t>(size));
    return true;
  }

  // Bytes received and not yet handed out as an answer.
  std::size_t received() const { return input_.size(); }

  // The bytes of one receive(); none at the end.
  std::string receive_some() {
    if (input_.empty()) receive();
    return std::exchange(input_, {});
  }

  // Whether the server closes without sending another byte.
  bool closed() { return input_.empty() && !receive(); }

  std::string receive_all() {
    while (receive()) {
    }
    return std::exchange(input_, {});
  }

  // The next answer; what of it came when the connection ended. `to_head`: it has no body, whatever
  // its head says.
  RawAnswer answer(bool to_head = false) {
    RawAnswer answer;
    std::size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive()) return answer;
    }
    answer.head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.c_str() + 9);
    answer.chunked = answer.header("Transfer-Encoding") == "chunked";
    const bool bodiless =
        to_head || answer.status == 204 || answer.status == 304 || answer.status < 200;
    if (bodiless) {
      answer.complete = true;
    } else if (answer.chunked) {
      read_chunks(answer);
    } else if (answer.header("Content-Length") != "(none)") {
      const auto length = std::strtoul(answer.header("Content-Length").c_str(), nullptr, 10);
      while (input_.size() < length && receive()) {
      }
      answer.body = input_.substr(0, length);
      input_.erase(0, answer.body.size());
      answer.complete = answer.body.size() == length;
    } else {
      answer.body = receive_all();
      answer.complete = true;
    }
    return answer;
  }

 private:
  void read_chunks(RawAnswer& answer) {
    for (;;) {
      std::size_t end = 0;
      while ((end = input_.find("\r\n")) == std::string::npos) {
        if (!receive()) return;
      }
      const auto size = std::strtoul(input_.c_str(), nullptr, 16);
      while (input_.size() < end + 2 + size + 2) {
        if (!receive()) return;
      }
      answer.body += input_.substr(end + 2, size);
      input_.erase(0, end + 2 + size + 2);
      if (size == 0) {
        answer.complete = true;
        return;
      }
    }
  }

  int descriptor_ = -1;
  bool connected_ = false;
  std::string input_;
};

}  // namespace gpu_telemetry::http
