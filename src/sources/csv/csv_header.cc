#include "sources/csv/csv_header.h"

#include <algorithm>
#include <string>

namespace gpu_telemetry::sources::csv {
namespace {

struct Alias {
  std::string_view folded;  // lower case, without underscores
  Column column;
  unsigned preference;
};

constexpr Alias kAliases[] = {
    {"timestamp", Column::kTimestamp, 0},
    {"time", Column::kTimestamp, 1},
    {"metricname", Column::kMetricName, 0},
    {"metric", Column::kMetricName, 1},
    {"name", Column::kMetricName, 2},  // __name__
    {"uuid", Column::kUuid, 0},
    {"gpuuuid", Column::kUuid, 1},
    {"value", Column::kValue, 0},
    {"gpuid", Column::kGpuIndex, 0},
    {"gpu", Column::kGpuIndex, 1},
    {"gpuindex", Column::kGpuIndex, 2},
    {"device", Column::kDevice, 0},
    {"deviceid", Column::kDevice, 1},
    {"modelname", Column::kModelName, 0},
    {"model", Column::kModelName, 1},
    {"hostname", Column::kHostname, 0},
    {"exportedcontainer", Column::kContainer, 0},
    {"container", Column::kContainer, 1},
    {"exportedpod", Column::kPod, 0},
    {"pod", Column::kPod, 1},
    {"exportednamespace", Column::kNamespace, 0},
    {"namespace", Column::kNamespace, 1},
    {"labelsraw", Column::kLabels, 0},
    {"labels", Column::kLabels, 1},
};

struct RequiredColumn {
  Column column;
  std::string_view name;
};
constexpr RequiredColumn kRequired[] = {{Column::kTimestamp, "timestamp"},
                                        {Column::kMetricName, "metric_name"},
                                        {Column::kUuid, "uuid"},
                                        {Column::kValue, "value"}};

constexpr std::string_view kExpected =
    "expected a header line with at least the columns timestamp, metric_name, uuid and value";

constexpr bool is_identity(Column column) {
  return column == Column::kUuid || (column >= Column::kGpuIndex && column <= Column::kNamespace);
}

// The start of `text` as it may be shown on a terminal.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 80)) out += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > 80) out += "...";
  return out;
}

}  // namespace

bool find_column(std::string_view name, Column& column, unsigned& preference) {
  std::array<char, 32> folded;
  std::size_t size = 0;
  for (const char c : name) {
    if (c == '_' || c == ' ') continue;
    if (size == folded.size()) return false;
    folded[size++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  const std::string_view wanted(folded.data(), size);
  const auto* const found = std::ranges::find(kAliases, wanted, &Alias::folded);
  if (found == std::end(kAliases)) return false;
  column = found->column;
  preference = found->preference;
  return true;
}

Result<CsvHeader> CsvHeader::read(const CsvRecord& record) {
  CsvHeader header;
  header.index_.fill(kMissing);
  header.column_count_ = record.field_count;
  std::array<unsigned, kColumnCount> best{};
  bool any = false;
  for (std::uint32_t i = 0; i < record.field_count; ++i) {
    std::string name;
    Column column;
    unsigned preference;
    if (!append_unquoted(record.raw(i), name) || !find_column(name, column, preference)) continue;
    any = true;
    const auto c = static_cast<std::size_t>(column);
    if (header.index_[c] != kMissing && best[c] == preference) {
      return invalid("the header names the column '" + shown(name) + "' twice, as column " +
                     std::to_string(header.index_[c] + 1) + " and " + std::to_string(i + 1));
    }
    if (header.index_[c] == kMissing || preference < best[c]) {
      header.index_[c] = i;
      best[c] = preference;
    }
  }
  const std::string_view line(record.buffer + record.begin,
                              record.ends[record.field_count - 1] - record.begin);
  if (!any) {
    return invalid("this is not a CSV file of telemetry: it starts with '" + shown(line) + "'; " +
                   std::string(kExpected));
  }
  for (const RequiredColumn& required : kRequired) {
    if (header.has(required.column)) continue;
    return invalid("the header has no column '" + std::string(required.name) + "'; " +
                   std::string(kExpected) + ", found '" + shown(line) + "'");
  }
  for (std::uint32_t i = 0; i < record.field_count; ++i) {
    bool identity = false;
    for (std::size_t c = 0; c < kColumnCount; ++c) {
      identity |= header.index_[c] == i && is_identity(static_cast<Column>(c));
    }
    if (!identity) continue;
    if (!header.identity_runs_.empty() && header.identity_runs_.back().last + 1 == i) {
      header.identity_runs_.back().last = i;
    } else {
      header.identity_runs_.push_back({i, i});
    }
  }
  return header;
}

}  // namespace gpu_telemetry::sources::csv
