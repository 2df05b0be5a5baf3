// Which column means what.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "domain/result.h"
#include "sources/csv/csv_scanner.h"

namespace gpu_telemetry::sources::csv {

enum class Column : std::uint8_t {
  kTimestamp,  // these four are required
  kMetricName,
  kUuid,
  kValue,
  kGpuIndex,
  kDevice,
  kModelName,
  kHostname,
  kContainer,
  kPod,
  kNamespace,
  kLabels,
};
inline constexpr std::size_t kColumnCount = 12;

// What a column, or a label of labels_raw, of this name is about; false: nothing that is known.
// Case and underscores do not matter: `Hostname` is `hostname`, `gpu_uuid` is `GPU_UUID`.
// `preference` tells several names of one thing apart: the lowest wins (`exported_pod`, which is
// what Prometheus makes of the exporter's `pod`, wins over `pod`).
bool find_column(std::string_view name, Column& column, unsigned& preference);

// The columns of one file.
class CsvHeader {
 public:
  // Errors: kInvalid, naming what is missing or doubled, and where a header was expected.
  static Result<CsvHeader> read(const CsvRecord& record);

  std::uint32_t column_count() const { return column_count_; }
  bool has(Column column) const { return index_[static_cast<std::size_t>(column)] != kMissing; }
  // The field's text as it is written, empty for a missing column.
  std::string_view raw(const CsvRecord& record, Column column) const {
    const std::uint32_t i = index_[static_cast<std::size_t>(column)];
    return i == kMissing ? std::string_view(record.buffer, 0) : record.raw(i);
  }

  // Neighbouring columns, first to last, that together say what a GPU is.
  struct Run {
    std::uint32_t first;
    std::uint32_t last;
    friend bool operator==(const Run&, const Run&) = default;
  };
  const std::vector<Run>& identity_runs() const { return identity_runs_; }

  friend bool operator==(const CsvHeader&, const CsvHeader&) = default;

 private:
  static constexpr std::uint32_t kMissing = UINT32_MAX;
  std::array<std::uint32_t, kColumnCount> index_{};
  std::uint32_t column_count_ = 0;
  std::vector<Run> identity_runs_;
};

}  // namespace gpu_telemetry::sources::csv
