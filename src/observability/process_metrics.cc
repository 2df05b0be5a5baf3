#include "observability/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

namespace gpu_telemetry::observability {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily family(MetricType type, std::string name, std::string help, double value) {
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  MetricFamily made;
  made.name = std::move(name);
  made.help = std::move(help);
  made.type = type;
  made.metric.push_back(std::move(metric));
  return made;
}

// The fields of /proc/self/stat (proc(5)) that we show, in the kernel's units.
struct ProcessStat {
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  std::uint64_t start_ticks = 0;  // after boot
  std::uint64_t virtual_bytes = 0;
  std::uint64_t resident_pages = 0;
};

std::optional<ProcessStat> read_process_stat() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The second field is the program's name in parentheses and may hold anything; state follows it.
  const std::size_t name_end = line.rfind(") ");
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 2));
  std::vector<std::string> values;
  for (std::string value; fields >> value;) values.push_back(value);
  constexpr std::size_t kFirst = 3;  // values[0] is field 3 of proc(5)
  constexpr std::size_t kLastWanted = 24;
  if (values.size() <= kLastWanted - kFirst) return std::nullopt;
  const auto number = [&](std::size_t field) { return std::stoull(values[field - kFirst]); };
  ProcessStat stat;
  stat.user_ticks = number(14);
  stat.system_ticks = number(15);
  stat.start_ticks = number(22);
  stat.virtual_bytes = number(23);
  stat.resident_pages = number(24);
  return stat;
}

// When the machine started, in seconds since 1970.
std::optional<double> read_boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return std::nullopt;
}

std::optional<double> count_open_files() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), ::closedir);
  if (!directory) return std::nullopt;
  double count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count - 1;  // the directory itself is open
}

}  // namespace

std::vector<MetricFamily> process_metrics() {
  std::vector<MetricFamily> families;
  if (const auto stat = read_process_stat()) {
    const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto page_size = static_cast<double>(::sysconf(_SC_PAGESIZE));
    static const std::optional<double> boot_time = read_boot_time();
    families.push_back(
        family(MetricType::Counter, "process_cpu_seconds_total",
               "User and system CPU time spent, in seconds.",
               static_cast<double>(stat->user_ticks + stat->system_ticks) / ticks_per_second));
    families.push_back(family(MetricType::Gauge, "process_resident_memory_bytes",
                              "Resident memory size in bytes.",
                              static_cast<double>(stat->resident_pages) * page_size));
    families.push_back(family(MetricType::Gauge, "process_virtual_memory_bytes",
                              "Virtual memory size in bytes.",
                              static_cast<double>(stat->virtual_bytes)));
    if (boot_time) {
      families.push_back(
          family(MetricType::Gauge, "process_start_time_seconds",
                 "Start time of the process since the Unix epoch, in seconds.",
                 *boot_time + static_cast<double>(stat->start_ticks) / ticks_per_second));
    }
  }
  if (const auto open_files = count_open_files()) {
    families.push_back(family(MetricType::Gauge, "process_open_fds",
                              "Number of open file descriptors.", *open_files));
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(family(MetricType::Gauge, "process_max_fds",
                              "Largest number of file descriptors that may be open.",
                              static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace gpu_telemetry::observability
