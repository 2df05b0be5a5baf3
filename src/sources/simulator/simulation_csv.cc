// The simulated fleet as a CSV file.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

#include "sources/simulator/fleet_model.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::sources {
namespace {

constexpr std::size_t kPieceSize = 1 << 20;
constexpr std::string_view kHeader =
    "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,"
    "labels_raw\n";

// When each metric of a pass is read, in seconds after its start. Those of events come last.
constexpr std::array<int, kSimulatedMetrics> kSecondsIntoPass = {0, 0, 0, 1, 1, 1, 2,
                                                                 3, 3, 3, 3, 3, 3, 3};

// The parts of a GPU's rows that are the same for each metric and pass until the job changes: what
// stands before the value, between it and the metric's name in the labels, and after that.
struct RowText {
  std::string text;
  std::uint32_t value_at = 0;
  std::uint32_t name_at = 0;
  std::uint32_t attribution_changes = UINT32_MAX;
};

void append_label(std::string& text, std::string_view name, std::string_view value) {
  text.append(name).append("=\"\"").append(value).append("\"\"");
}

void make_row_text(const SimulatedGpu& gpu, const std::string& hostname, RowText& row) {
  const std::string index = std::to_string(gpu.index_on_host);
  const std::string uuid = gpu.uuid.to_string();
  const Attribution& who = gpu.attribution;
  std::string& text = row.text;
  text = '"' + index + R"(","nvidia)" + index + R"(",")" + uuid + R"(",")";
  text.append(kSimulatedModel).append(R"(",")").append(hostname).append(R"(",")");
  text.append(who.container).append(R"(",")").append(who.pod).append(R"(",")");
  text.append(who.pod_namespace).append(R"(",")");
  row.value_at = static_cast<std::uint32_t>(text.size());
  text.append(R"(",")");
  // Sorted by name, as Prometheus writes them.
  append_label(text, "DCGM_FI_DRIVER_VERSION", kSimulatedDriver);
  append_label(text, ",Hostname", hostname);
  append_label(text, ",UUID", uuid);
  text.append(R"(,__name__="")");
  row.name_at = static_cast<std::uint32_t>(text.size());
  text.append(R"("")");
  if (!who.container.empty()) append_label(text, ",container", who.container);
  append_label(text, ",device", "nvidia" + index);
  append_label(text, ",gpu", index);
  append_label(text, ",instance", hostname + ":9400");
  append_label(text, ",job", "dcgm_exporter");
  append_label(text, ",modelName", kSimulatedModel);
  if (!who.pod_namespace.empty()) append_label(text, ",namespace", who.pod_namespace);
  if (!who.pod.empty()) append_label(text, ",pod", who.pod);
  text.append("\"\n");
  row.attribution_changes = gpu.attribution_changes;
}

char* put(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// Room for any value: 64 bits in decimal, a sign and a point.
constexpr std::size_t kMaxValueSize = 24;

char* put_integer(char* out, std::int64_t value) {
  return std::to_chars(out, out + kMaxValueSize, value).ptr;
}

// Thousandths, without the zeros at the end.
char* put_thousandths(char* out, std::int64_t value) {
  out = put_integer(out, value / 1'000);
  const auto fraction = static_cast<unsigned>(value % 1'000);
  if (fraction == 0) return out;
  *out++ = '.';
  *out++ = static_cast<char>('0' + fraction / 100);
  *out++ = static_cast<char>('0' + fraction / 10 % 10);
  *out++ = static_cast<char>('0' + fraction % 10);
  while (out[-1] == '0') --out;
  return out;
}

char* put_value(char* out, const SimulatedReadings& readings, std::size_t metric) {
  const bool thousandths = metric == kPowerUsage;
  if (readings.lacks(metric)) {
    // DCGM's blanks of an int64 and of a double.
    return put(out, thousandths ? "140737488355328" : "9223372036854775792");
  }
  return thousandths ? put_thousandths(out, readings.values[metric])
                     : put_integer(out, readings.values[metric]);
}

class CsvWriter {
 public:
  CsvWriter(const FleetModel& fleet, const TextSink& sink)
      : fleet_(fleet), sink_(sink), rows_(fleet.gpus().size()), buffer_(kPieceSize) {}

  Result<void> write_header() { return sink_(kHeader); }

  Result<void> write_pass(Timestamp start, std::chrono::milliseconds interval) {
    refresh_rows();
    const std::chrono::milliseconds second =
        std::min(std::chrono::milliseconds{1'000}, interval / 4);
    for (std::size_t metric = 0; metric < kSimulatedMetrics; ++metric) {
      if (auto written = write_metric(metric, start + second * kSecondsIntoPass[metric]);
          !written) {
        return written;
      }
    }
    return {};
  }

  Result<void> flush() {
    const std::string_view piece(buffer_.data(), used_);
    used_ = 0;
    if (piece.empty()) return {};
    return sink_(piece);
  }

 private:
  void refresh_rows() {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const SimulatedGpu& gpu = fleet_.gpus()[i];
      if (rows_[i].attribution_changes == gpu.attribution_changes) continue;
      make_row_text(gpu, fleet_.host_name(gpu.host), rows_[i]);
    }
  }

  Result<void> write_metric(std::size_t metric, Timestamp time) {
    const std::string_view name = kSimulatedMetricNames[metric];
    std::array<char, kRfc3339MaxSize> time_text;
    const std::string start =
        '"' + std::string(time_text.data(), format_rfc3339_to(time_text.data(), time)) + R"(",")" +
        std::string(name) + R"(",)";
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const SimulatedReadings& readings = fleet_.gpus()[i].readings;
      if (!readings.has(metric) && !readings.lacks(metric)) continue;
      const RowText& row = rows_[i];
      const std::string_view text = row.text;
      if (start.size() + text.size() + name.size() + kMaxValueSize > buffer_.size() - used_) {
        if (auto written = flush(); !written) return written;
      }
      char* out = buffer_.data() + used_;
      out = put(out, start);
      out = put(out, text.substr(0, row.value_at));
      out = put_value(out, readings, metric);
      out = put(out, text.substr(row.value_at, row.name_at - row.value_at));
      out = put(out, name);
      out = put(out, text.substr(row.name_at));
      used_ = static_cast<std::size_t>(out - buffer_.data());
    }
    return {};
  }

  const FleetModel& fleet_;
  const TextSink& sink_;
  std::vector<RowText> rows_;
  std::vector<char> buffer_;
  std::size_t used_ = 0;
};

// A file descriptor that is closed at the end, unless it is standard output's.
class OutputFile {
 public:
  OutputFile(int descriptor, std::string path, bool owned)
      : descriptor_(descriptor), path_(std::move(path)), owned_(owned) {}
  ~OutputFile() {
    if (owned_ && descriptor_ >= 0) ::close(descriptor_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Result<void> write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t written = ::write(descriptor_, text.data(), text.size());
      if (written < 0 && errno != EINTR) return failed("cannot write");
      if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  }

  // Some file systems report a failed write only here.
  Result<void> close() {
    if (!owned_) return {};
    if (::close(std::exchange(descriptor_, -1)) != 0) return failed("cannot finish writing");
    return {};
  }

  Error failed(std::string_view what) const {
    return unavailable(path_ + ": " + std::string(what) + ": " +
                       std::generic_category().message(errno));
  }

 private:
  int descriptor_;
  std::string path_;
  bool owned_;
};

}  // namespace

Result<void> simulate_csv(const SimulatorOptions& options, std::chrono::milliseconds duration,
                          Timestamp start, const TextSink& sink) {
  if (auto valid = validate(options); !valid) return valid;
  if (options.interval.count() == 0) {
    return invalid("interval is 0: a simulated file needs at least 1ms between its passes");
  }
  FleetModel fleet(options);
  CsvWriter writer(fleet, sink);
  if (auto written = writer.write_header(); !written) return written;
  for (std::chrono::milliseconds time{0}; time < duration; time += options.interval) {
    fleet.advance(time.count() == 0 ? std::chrono::milliseconds{0} : options.interval);
    if (auto written = writer.write_pass(start + time, options.interval); !written) return written;
  }
  return writer.flush();
}

Result<void> write_simulation(const SimulationFileOptions& options, const std::string& path) {
  if (auto valid = validate(options.fleet); !valid) return valid;
  const bool to_stdout = path == "-";
  const int descriptor = to_stdout ? STDOUT_FILENO
                                   : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                                            0666);  // the umask decides
  OutputFile file(descriptor, to_stdout ? "standard output" : path, !to_stdout);
  if (descriptor < 0) return file.failed("cannot open for writing");
  const TextSink sink = [&file](std::string_view text) { return file.write(text); };
  auto written = simulate_csv(options.fleet, options.duration, options.start, sink);
  if (!written) return written;
  return file.close();
}

}  // namespace gpu_telemetry::sources
