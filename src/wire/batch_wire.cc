#include "wire/batch_wire.h"

#include <algorithm>
#include <memory>

#include "domain/metric_catalogue.h"
#include "io/bytes.h"
#include "io/crc32c.h"
#include "wire/columns.h"
#include "wire/gpu_cache.h"
#include "wire/gpu_table.h"
#include "wire/scrape_groups.h"
#include "wire/texts.h"

namespace gpu_telemetry::wire {
namespace {

constexpr std::size_t kHeaderSize = kMagic.size() + 1;
constexpr std::size_t kChecksumSize = sizeof(std::uint32_t);
// Above this, memory that a huge batch made a thread hold is given back after it.
constexpr std::size_t kKeptSamples = 1 << 16;

// What encoding and decoding reuse from call to call; one for each thread.
struct Workspace {
  ColumnScratch columns;
  GpuTableEncoder gpu_encoder;
  GpuTableDecoder gpu_decoder;
  ScrapeGroups groups;
  std::vector<double> values;       // column after column
  std::vector<double*> next_value;  // of each metric
  std::vector<std::string_view> names;
};

class WorkspaceLease {
 public:
  WorkspaceLease() : workspace_(thread_workspace()) {
    if (!workspace_) workspace_ = std::make_unique<Workspace>();
  }
  WorkspaceLease(const WorkspaceLease&) = delete;
  WorkspaceLease& operator=(const WorkspaceLease&) = delete;
  ~WorkspaceLease() {
    if (workspace_->values.capacity() > kKeptSamples) workspace_.reset();
  }
  Workspace& operator*() const { return *workspace_; }

 private:
  static std::unique_ptr<Workspace>& thread_workspace() {
    static thread_local std::unique_ptr<Workspace> workspace;
    return workspace;
  }
  std::unique_ptr<Workspace>& workspace_;
};

// Sets next_value to where each metric's column starts, all columns standing one after the other.
void lay_out_columns(Workspace& workspace, std::size_t samples) {
  workspace.values.resize(std::max(workspace.values.size(), samples));
  const std::vector<std::size_t>& sizes = workspace.groups.samples_of_metric;
  workspace.next_value.resize(sizes.size());
  double* next = workspace.values.data();
  for (std::size_t metric = 0; metric < sizes.size(); ++metric) {
    workspace.next_value[metric] = next;
    next += sizes[metric];
  }
}

void append_values(std::string& out, const TelemetryBatch& batch, Workspace& workspace) {
  lay_out_columns(workspace, batch.samples.size());
  double** const next = workspace.next_value.data();
  for (const Sample& sample : batch.samples) *next[sample.metric]++ = sample.value;
  std::span<const double> left(workspace.values.data(), batch.samples.size());
  for (const std::size_t size : workspace.groups.samples_of_metric) {
    append_doubles(out, left.first(size), workspace.columns);
    left = left.subspan(size);
  }
}

class Codec final : public BatchCodec {
 public:
  void encode(const TelemetryBatch& batch, std::string& out) const override;
  Result<void> decode(std::string_view bytes, TelemetryBatch& out) const override;

 private:
  mutable GpuCache cache_;  // thread-safe
};

void Codec::encode(const TelemetryBatch& batch, std::string& out) const {
  const WorkspaceLease lease;
  Workspace& workspace = *lease;
  out.clear();
  out.append(kMagic);
  out.push_back(static_cast<char>(kVersion));
  io::append_varint(out, batch.gpus.size());
  io::append_varint(out, batch.scrapes.size());
  io::append_varint(out, batch.samples.size());
  append_texts(out, batch.metrics);
  append_gpus(out, batch.gpus, workspace.gpu_encoder, workspace.columns);
  append_scrapes(out, batch, workspace.groups, workspace.columns);
  append_values(out, batch, workspace);
  io::append_fixed(out, io::crc32c(out));
}

// --- Decoding.

Error corrupt_at(std::size_t offset, std::string_view what) {
  return corrupt("wire message, byte " + std::to_string(offset) + ": " + std::string(what));
}

// The frame around the body: magic, checksum, version, in the order that tells damage from age.
Result<std::string_view> open_frame(std::string_view bytes) {
  if (bytes.size() < kHeaderSize + kChecksumSize) {
    return corrupt_at(bytes.size(), "ends before its header and checksum do");
  }
  if (!bytes.starts_with(kMagic)) return corrupt_at(0, "is no telemetry batch (wrong magic)");
  const std::string_view covered = bytes.substr(0, bytes.size() - kChecksumSize);
  const auto stored = io::load_fixed<std::uint32_t>(bytes.data() + covered.size());
  if (io::crc32c(covered) != stored) return corrupt_at(covered.size(), "the checksum is wrong");
  const auto version = static_cast<std::uint8_t>(bytes[kMagic.size()]);
  if (version != kVersion) {
    return invalid("wire message of version " + std::to_string(version) +
                   "; this program reads version " + std::to_string(kVersion) +
                   ": update the reading side first");
  }
  return covered;
}

// What is wrong with the metric names, or null.
const char* check_metrics(const std::vector<std::string>& metrics,
                          std::vector<std::string_view>& scratch) {
  for (const std::string& name : metrics) {
    if (!is_valid_metric_name(name)) return "a metric name of other characters than [a-zA-Z0-9_:]";
    if (canonical_metric_name(name) != name) return "a metric under a name that is not its first";
  }
  scratch.assign(metrics.begin(), metrics.end());
  std::sort(scratch.begin(), scratch.end());
  if (std::adjacent_find(scratch.begin(), scratch.end()) != scratch.end()) {
    return "a metric name twice";
  }
  return nullptr;
}

Result<void> read_values(io::ByteReader& reader, std::size_t samples, Workspace& workspace,
                         TelemetryBatch& out) {
  lay_out_columns(workspace, samples);
  double* column = workspace.values.data();
  for (const std::size_t size : workspace.groups.samples_of_metric) {
    if (!read_doubles(reader, {column, size}, workspace.columns)) {
      return corrupt("a malformed column of values");
    }
    column += size;
  }
  out.samples.resize(samples);
  double** const next = workspace.next_value.data();
  Sample* to = out.samples.data();
  const ScrapeGroups& groups = workspace.groups;
  for (const std::int64_t pattern : groups.pattern_of) {
    for (const PatternStep& step : groups.patterns[static_cast<std::size_t>(pattern)]) {
      for (const std::uint32_t metric : groups.shapes[step.shape]) {
        *to++ = {metric, *next[metric]++};
      }
    }
  }
  return {};
}

Result<void> Codec::decode(std::string_view bytes, TelemetryBatch& out) const {
  const auto covered = open_frame(bytes);
  if (!covered) return covered.error();
  const WorkspaceLease lease;
  Workspace& workspace = *lease;

  io::ByteReader reader(*covered);
  reader.bytes(kHeaderSize);
  const std::uint64_t gpus = reader.varint();
  const std::uint64_t scrapes = reader.varint();
  const std::uint64_t samples = reader.varint();
  if (!reader.ok() || gpus > kMaxGpus || scrapes > kMaxScrapes || samples > kMaxSamples) {
    return corrupt_at(kHeaderSize, "counts past what a message may have");
  }
  std::size_t part = reader.offset();
  Result<void> read = read_texts(reader, kMaxMetrics, kMaxMetricNameSize,
                                 kMaxMetrics * kMaxMetricNameSize, out.metrics);
  if (read) {
    if (const char* fault = check_metrics(out.metrics, workspace.names)) read = corrupt(fault);
  }
  if (read) {
    part = reader.offset();
    read = read_gpus(reader, static_cast<std::size_t>(gpus), workspace.gpu_decoder,
                     workspace.columns, cache_, out.gpus);
  }
  if (read) {
    part = reader.offset();
    read =
        read_scrapes(reader, static_cast<std::size_t>(scrapes), static_cast<std::size_t>(samples),
                     workspace.groups, workspace.columns, out);
  }
  if (read) {
    part = reader.offset();
    read = read_values(reader, static_cast<std::size_t>(samples), workspace, out);
  }
  if (!read) return corrupt_at(part, "in the part from here on, " + read.error().message);
  if (reader.remaining() != 0) return corrupt_at(reader.offset(), "goes on after its end");
  return {};
}

}  // namespace

const BatchCodec& batch_codec() {
  static const Codec codec;
  return codec;
}

}  // namespace gpu_telemetry::wire
