#include "storage/aggregate_check.h"

#include <fmt/format.h>

#include <algorithm>

namespace gpu_telemetry::storage {

namespace {

Result<void> check_range(Timestamp first, Timestamp last, Milliseconds bucket) {
  const std::int64_t step = bucket.count();
  if (step <= 0) {
    return invalid(fmt::format("the step of an aggregate is {} ms; it must be positive", step));
  }
  const std::int64_t start = unix_milliseconds(first);
  const std::int64_t end = unix_milliseconds(last);
  std::int64_t length = 0;
  if (start <= end && (__builtin_sub_overflow(end, start, &length) ||
                       static_cast<std::uint64_t>(length / step) > kMaxBuckets)) {
    return invalid(fmt::format(
        "a range of {} ms to {} ms in steps of {} ms has more than {} buckets; take a longer step",
        start, end, step, kMaxBuckets));
  }
  return {};
}

}  // namespace

Result<void> check_aggregate(const AggregateQuery& query) {
  return check_range(query.start, query.end, query.step);
}

Result<void> check_groups(const GroupQuery& query) {
  const auto checked = check_range(query.start, query.end, query.step);
  if (!checked || query.start > query.end) return checked;
  std::uint64_t groups = 0;
  for (const GroupQuery::Member& member : query.members) {
    groups = std::max<std::uint64_t>(groups, std::uint64_t{member.group} + 1);
  }
  const auto buckets = static_cast<std::uint64_t>((query.end - query.start) / query.step) + 2;
  if (groups > kMaxGroupBuckets / buckets) {
    return invalid(
        fmt::format("{} groups in {} buckets each are more than {} values; take a longer step or "
                    "fewer groups",
                    groups, buckets, kMaxGroupBuckets));
  }
  return {};
}

}  // namespace gpu_telemetry::storage
