// Immutable files of samples, sorted by (GPU, metric). docs/formats/store.md has the bytes.
//
// A file is complete in itself: it names its GPUs and metrics, says which times it covers, and
// holds a checksum of every part. What is needed to find the data can be restored when a part of it
// is damaged. A GPU stores each distinct timestamp vector once, and its columns
// name theirs. Values are decimal-scaled integers where that is exact and raw doubles where it is
// not, bit for bit, in groups of 128 with minimum, maximum and sum, so that a scan may skip or
// answer a group without decoding it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/result.h"
#include "domain/time.h"
#include "io/file_system.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage::embedded {

// Of what is written. 1, which has no parity and its footer once, is read too.
inline constexpr std::uint32_t kSeriesFileVersion = 2;

// Samples of one series (one metric of one GPU), as parallel arrays.
struct SeriesColumn {
  std::uint32_t metric = 0;                  // index into the file's metric names
  std::span<const std::int64_t> timestamps;  // Unix ms, strictly ascending, not empty
  std::span<const double> values;            // as many; finite
};

struct SeriesFileSummary {
  std::uint32_t version = 0;  // of the format
  std::uint64_t file_bytes = 0;
  std::uint64_t samples = 0;
  std::uint64_t series = 0;
  std::uint64_t gpus = 0;
  Timestamp first;  // of any sample
  Timestamp last;
};

// Writes one file from front to back. Used by one thread. The file is under its final name and
// durable only after the caller has renamed it and synced the folder; the writer syncs the data.
class SeriesFileWriter {
 public:
  // `metric_names` are unique and in ascending order. `stored_at`: when the youngest of the samples
  // was first stored (retention counts from the later of that and the sample's own time).
  // Errors: as FileSystem::open.
  static Result<std::unique_ptr<SeriesFileWriter>> create(io::FileSystem& files,
                                                          const std::string& path,
                                                          std::vector<std::string> metric_names,
                                                          Timestamp stored_at);
  virtual ~SeriesFileWriter() = default;

  // All columns of one GPU, in ascending order of metric. GPUs come in ascending order of UUID.
  // The spans are read during the call only.
  virtual Result<void> add_gpu(const GpuUuid& gpu, std::span<const SeriesColumn> columns) = 0;

  // Writes the index and the footer, and syncs. Call nothing afterwards. kInvalid for a file
  // without samples.
  virtual Result<SeriesFileSummary> finish() = 0;
};

// One column of a file as the index tells it, without touching its data.
struct ColumnEntry {
  std::uint32_t metric = 0;  // index into SeriesFileReader::metric_names()
  std::uint32_t samples = 0;
  std::int64_t first_timestamp = 0;
  std::int64_t last_timestamp = 0;
  std::uint64_t handle = 0;  // for the reader
};

// Opened once, read by any number of threads. Bytes are mapped; header, index and footer are
// verified when it is opened, each column when it is first read.
class SeriesFileReader {
 public:
  // Errors: kCorrupt (path, part and what is wrong), kInvalid (a version that this program does not
  // read), kNotFound, kUnavailable.
  static Result<std::shared_ptr<const SeriesFileReader>> open(io::FileSystem& files,
                                                              const std::string& path);
  virtual ~SeriesFileReader() = default;

  virtual const std::string& path() const = 0;
  virtual const SeriesFileSummary& summary() const = 0;
  // What was found damaged when it was opened, and costs nothing: one sentence each.
  virtual std::span<const std::string> damage() const = 0;
  virtual Timestamp stored_at() const = 0;
  virtual std::span<const std::string> metric_names() const = 0;  // ascending
  // GPUs in ascending order.
  virtual std::span<const GpuUuid> gpus() const = 0;
  // Columns of the GPU in ascending order of metric; empty when the file has none. O(log gpus).
  virtual std::vector<ColumnEntry> columns(const GpuUuid& gpu) const = 0;
  // The GPU's column of that metric (index into metric_names()), without listing the others: the
  // way to one metric of many GPUs. Allocates nothing.
  virtual std::optional<ColumnEntry> find_column(const GpuUuid& gpu,
                                                 std::uint32_t metric) const = 0;

  // Appends the samples whose timestamps lie in [start, end] to the two vectors, ascending in time.
  // Only the groups of 128 that overlap the range are decoded.
  // Errors: kCorrupt, naming file, GPU, metric and times; the vectors are then as before.
  virtual Result<void> read(const ColumnEntry& column, std::int64_t start, std::int64_t end,
                            std::vector<std::int64_t>& timestamps,
                            std::vector<double>& values) const = 0;

  // Appends one aggregate for each bucket of `step` milliseconds (aligned to the epoch) that has
  // samples in [start, end], ascending. When the last of `out` is the same bucket it is extended,
  // so that consecutive files can be chained (later samples after earlier ones).
  virtual Result<void> aggregate(const ColumnEntry& column, std::int64_t start, std::int64_t end,
                                 std::int64_t step, std::vector<Bucket>& out) const = 0;

  // Reads everything and checks every checksum. One sentence for each damage; empty when whole.
  virtual std::vector<std::string> verify() const = 0;

  // Looks again for damage that costs nothing, and writes anew what is damaged.
  struct Mended {
    std::vector<std::string> damage;  // one sentence each
    Result<void> written;             // else why it is still damaged
  };
  virtual Mended mend(io::FileSystem& files) const = 0;
};

}  // namespace gpu_telemetry::storage::embedded
