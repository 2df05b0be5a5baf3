// How a Redis server is named.
#include <charconv>

#include "queue/redis/redis_queue.h"

namespace gpu_telemetry::queue {
namespace {

Error bad_address(std::string_view what) {
  return invalid(std::string(what) +
                 ": a Redis address is host:port, host, [v6]:port, unix:/path or "
                 "redis[s]://[user[:password]@]host[:port][/db]");
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Result<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || digits.size() != 2 || end != digits.data() + 2) {
      return bad_address("the user or password has a % that is not followed by two digits");
    }
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

Result<void> read_host_and_port(std::string_view text, RedisServer& server) {
  std::string_view port;
  std::string_view host = text;
  if (!text.empty() && text[0] == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return bad_address("the address has no ]");
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return bad_address("the address goes on after ]");
    port = rest.empty() ? rest : rest.substr(1);
    if (!rest.empty() && port.empty()) return bad_address("the port is empty");
  } else if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != std::string_view::npos) return bad_address("an IPv6 address needs [ ]");
    if (port.empty()) return bad_address("the port is empty");
  }
  if (host.empty()) return bad_address("the host is empty");
  server.host = host;
  if (!port.empty() && (!read_number(port, server.port) || server.port == 0)) {
    return bad_address("\"" + std::string(port) + "\" is not a port (1 to 65535)");
  }
  return {};
}

}  // namespace

Result<RedisServer> parse_redis_server(std::string_view text) {
  RedisServer server;
  if (text.substr(0, 5) == "unix:") {
    server.unix_path = text.substr(5);
    if (server.unix_path.empty()) return bad_address("the path is empty");
    return server;
  }
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) {
    if (auto ok = read_host_and_port(text, server); !ok) return ok.error();
    return server;
  }
  server.tls = text.substr(0, scheme) == "rediss";
  if (!server.tls && text.substr(0, scheme) != "redis") {
    return bad_address("the scheme is neither redis nor rediss");
  }
  text.remove_prefix(scheme + 3);
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = text.substr(0, at);
    text.remove_prefix(at + 1);
    const std::size_t colon = user.find(':');
    auto name = percent_decoded(user.substr(0, colon));
    if (!name) return name.error();
    server.username = *name;
    if (colon != std::string_view::npos) {
      auto password = percent_decoded(user.substr(colon + 1));
      if (!password) return password.error();
      server.password = [secret = *password] { return secret; };
    }
  }
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const std::string_view database = text.substr(slash + 1);
    if (!database.empty() && !read_number(database, server.database)) {
      return bad_address("\"" + std::string(database) + "\" is not the number of a database");
    }
    text = text.substr(0, slash);
  }
  if (auto ok = read_host_and_port(text, server); !ok) return ok.error();
  return server;
}

}  // namespace gpu_telemetry::queue
