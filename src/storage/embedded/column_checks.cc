#include "storage/embedded/column_checks.h"

#include <algorithm>
#include <cmath>

namespace gpu_telemetry::storage::embedded {

std::string_view check_times(const TimestampDescription& description,
                             const TimestampDecoder& decoder) {
  if (description.regular()) return {};
  std::int64_t times[kGroupSize];
  std::int64_t before = description.first - 1;
  for (std::uint64_t begin = 0; begin < description.count; begin += kGroupSize) {
    const std::uint64_t end = std::min(begin + kGroupSize, description.count);
    decoder.decode({begin, end}, times);
    if (begin == 0 && times[0] != description.first) return "the first is not the index's";
    for (std::uint64_t i = 0; i < end - begin; ++i) {
      if (times[i] <= before) return "not in ascending order";
      before = times[i];
    }
  }
  return before == description.last ? std::string_view{} : "the last is not the index's";
}

std::string_view check_values(const EncodedColumn& column) {
  for (const Group& group : column.groups) {
    if (group.coding != GroupCoding::kKeys) continue;
    double values[kGroupSize];
    decode_group_values(column, group, values);
    if (!std::all_of(values, values + group.count, [](double v) { return std::isfinite(v); })) {
      return "one is not finite";
    }
  }
  return {};
}

std::string_view check_statistics(const EncodedColumn& column) {
  if (std::ranges::all_of(column.groups, statistics_hold)) return {};
  return "a group's minimum, maximum or sum is wrong";
}

}  // namespace gpu_telemetry::storage::embedded
