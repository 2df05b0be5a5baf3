#include "storage/embedded/group_queries.h"

#include <algorithm>

#include "storage/aggregate_check.h"
#include "storage/embedded/metric_scan.h"
#include "storage/group_sums.h"

namespace gpu_telemetry::storage::embedded {

namespace {

// Feeds what each member has to the sums of its group.
class GroupScan {
 public:
  GroupScan(const ReadContext& context, const GroupQuery& query, std::uint32_t metric,
            const DamageReport& report_damage, GroupSums& sums)
      : query_(query),
        start_(unix_milliseconds(query.start)),
        end_(unix_milliseconds(query.end)),
        lookback_(counter_lookback(query).count()),
        scan_(context, metric,
              is_of_counter(query.combine) ? saturating_subtract(start_, lookback_) : start_, end_,
              report_damage),
        sums_(sums) {}

  // Members come in the query's order: those of one GPU and group, one after the other, are one
  // part of the group's sum.
  Result<void> add(const GroupQuery::Member& member) {
    if (member.gpu != gpu_ || member.group != group_) finish();
    gpu_ = member.gpu;
    group_ = member.group;
    const std::int64_t start = std::max(start_, unix_milliseconds(member.start));
    const std::int64_t end = std::min(end_, unix_milliseconds(member.end));
    if (start > end) return {};
    if (is_of_counter(query_.combine)) return add_growth(member, start, end);
    return scan_.buckets(member.gpu, start, end, query_.step.count(), buckets_);
  }

  // After the last member.
  void finish() {
    sums_.add(group_, buckets_);
    sums_.add(group_, growth_);
    buckets_.clear();
    growth_.clear();
  }

 private:
  Result<void> add_growth(const GroupQuery::Member& member, std::int64_t start, std::int64_t end) {
    const auto read = scan_.samples(member.gpu, saturating_subtract(start, lookback_), end);
    if (!read) return read.error();
    const Samples& samples = **read;
    for (std::size_t i = 1; i < samples.size(); ++i) {
      const std::int64_t time = samples.timestamps[i];
      if (time < start) continue;
      const std::int64_t bucket = bucket_of(time, query_.step.count());
      if (growth_.empty() || unix_milliseconds(growth_.back().start) != bucket) {
        growth_.push_back({from_unix_milliseconds(bucket), 0, Milliseconds{0}});
      }
      growth_.back().add(samples.values[i - 1], samples.values[i],
                         Milliseconds{time - samples.timestamps[i - 1]});
    }
    return {};
  }

  const GroupQuery& query_;
  const std::int64_t start_;
  const std::int64_t end_;
  const std::int64_t lookback_;
  MetricScan scan_;
  GroupSums& sums_;
  GpuUuid gpu_;
  std::uint32_t group_ = 0;
  std::vector<Bucket> buckets_;  // of that GPU in that group
  std::vector<Growth> growth_;
};

}  // namespace

Result<std::vector<GroupSeries>> group_series(const ReadContext& context, const GroupQuery& query,
                                              const DamageReport& report_damage) {
  const auto checked = check_groups(query);
  if (!checked) return checked.error();
  const std::uint32_t metric = context.metrics->find(query.metric);
  if (metric == MetricTable::kUnknown || query.start > query.end) {
    return std::vector<GroupSeries>();
  }
  GroupSums sums(query);
  GroupScan scan(context, query, metric, report_damage, sums);
  for (const GroupQuery::Member& member : query.members) {
    const auto added = scan.add(member);
    if (!added) return added.error();
  }
  scan.finish();
  return sums.series();
}

}  // namespace gpu_telemetry::storage::embedded
