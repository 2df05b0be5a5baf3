#include "storage/aggregate_check.h"

#include <fmt/format.h>

namespace gpu_telemetry::storage {

Result<void> check_aggregate(const AggregateQuery& query) {
  const std::int64_t step = query.step.count();
  if (step <= 0) {
    return invalid(fmt::format("the step of an aggregate is {} ms; it must be positive", step));
  }
  const std::int64_t start = unix_milliseconds(query.start);
  const std::int64_t end = unix_milliseconds(query.end);
  std::int64_t length = 0;
  if (start <= end && (__builtin_sub_overflow(end, start, &length) ||
                       static_cast<std::uint64_t>(length / step) > kMaxBuckets)) {
    return invalid(fmt::format(
        "a range of {} ms to {} ms in steps of {} ms has more than {} buckets; take a longer step",
        start, end, step, kMaxBuckets));
  }
  return {};
}

}  // namespace gpu_telemetry::storage
