#include "io/memory_limit.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>

namespace gpu_telemetry::io {
namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// The number that a file begins with; no limit when there is none (`max`, or no such file).
std::uint64_t number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? number : kNoLimit;
}

std::uint64_t machine_memory(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  std::string name;
  std::uint64_t kibibytes = 0;
  return file >> name >> kibibytes && name == "MemTotal:" ? kibibytes << 10 : kNoLimit;
}

// Of a group and those above it. In a container a group's path may be the host's, of which only the
// root is to be seen.
std::uint64_t group_limit(const std::string& hierarchy, std::string_view group,
                          std::string_view file) {
  std::uint64_t least = kNoLimit;
  for (;;) {
    std::string path = hierarchy;
    if (group != "/") path += group;
    path.append("/").append(file);
    least = std::min(least, number_in(path));
    if (group.size() <= 1) return least;
    group = group.substr(0, std::max<std::size_t>(group.rfind('/'), 1));
  }
}

bool names(std::string_view controllers, std::string_view wanted) {
  while (!controllers.empty()) {
    const std::size_t end = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, end) == wanted) return true;
    controllers.remove_prefix(std::min(end + 1, controllers.size()));
  }
  return false;
}

}  // namespace

ByteSize memory_limit(const std::string& root) {
  std::uint64_t least = machine_memory(root);
  std::ifstream groups(root + "/proc/self/cgroup");
  // hierarchy:controllers:/path; version 2 has hierarchy 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const auto path = std::string_view(line).substr(second + 1);
    if (!path.starts_with('/')) continue;
    if (controllers.empty()) {
      least = std::min(least, group_limit(root + "/sys/fs/cgroup", path, "memory.max"));
    } else if (names(controllers, "memory")) {
      least = std::min(least,
                       group_limit(root + "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
  }
  return {least == kNoLimit ? 0 : least};
}

}  // namespace gpu_telemetry::io
