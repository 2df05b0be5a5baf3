#include "storage/mongodb/point_groups.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "storage/group_sums.h"
#include "storage/mongodb/aggregation_stages.h"
#include "storage/mongodb/point_id.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

using Member = GroupQuery::Member;

constexpr std::string_view kDoing = "aggregating telemetry by group";

// Ranges of `_id` in one command.
constexpr std::size_t kRangesPerCommand = 100;
// From so many ranges on a group's buckets are added up by the server; below, one command serves
// several groups.
constexpr std::size_t kWorthAdding = 8;

// What one command asks for.
struct Part {
  std::vector<PointRange> ranges;
  std::vector<std::uint32_t> groups;  // of the ranges
  bool one_group = false;
};

// Divides members into commands. A GPU is in one of several groups of a command only once, since
// what comes back names the GPU. What belongs to one GPU and group stays together, unless each
// range must stand alone (`ranges_alone`).
class Parts {
 public:
  Parts(const GroupQuery& query, bool ranges_alone) : query_(query), ranges_alone_(ranges_alone) {
    std::vector<Member> members = query.members;
    std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
      return std::tie(a.group, a.gpu, a.start) < std::tie(b.group, b.gpu, b.start);
    });
    std::span<const Member> left = members;
    while (!left.empty()) {
      const auto is_other = [&](const Member& member) { return member.group != left[0].group; };
      const auto size =
          static_cast<std::size_t>(std::find_if(left.begin(), left.end(), is_other) - left.begin());
      add_group(left.first(size));
      left = left.subspan(size);
    }
    flush(mixed_);
  }

  const std::vector<Part>& all() const { return parts_; }

 private:
  void add_group(std::span<const Member> members) {
    const bool together = members.size() >= kWorthAdding && !ranges_alone_;
    Part own;
    own.one_group = true;
    Part& part = together ? own : mixed_;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const bool same_gpu = i > 0 && members[i].gpu == members[i - 1].gpu;
      const bool full = part.ranges.size() >= kRangesPerCommand && !same_gpu;
      const bool taken =
          !together && taken_.contains(members[i].gpu) && (ranges_alone_ || !same_gpu || full);
      if (full || taken) flush(part);
      add(part, members[i]);
    }
    if (together) flush(part);
  }

  void add(Part& part, const Member& member) {
    const Timestamp start = std::max({query_.start, member.start, kFirstPointTime});
    const Timestamp end = std::min({query_.end, member.end, kLastPointTime});
    if (start > end) return;
    part.ranges.push_back({member.gpu, start, end});
    part.groups.push_back(member.group);
    if (!part.one_group) taken_.emplace(member.gpu, member.group);
  }

  void flush(Part& part) {
    if (!part.one_group) taken_.clear();
    const bool one_group = part.one_group;
    if (!part.ranges.empty()) parts_.push_back(std::move(part));
    part = {};
    part.one_group = one_group;
  }

  const GroupQuery& query_;
  const bool ranges_alone_;
  Part mixed_;
  std::unordered_map<GpuUuid, std::uint32_t> taken_;  // GPUs in mixed_
  std::vector<Part> parts_;
};

Document integer_expression(std::string_view name, std::int64_t value) {
  Document document;
  document.integer(name, value);
  return document;
}

// What one GPU has in one bucket.
Document gpu_bucket(const GroupQuery& query) {
  const std::string value = "$metrics." + query.metric;
  Document group;
  group.document("_id", bucket_key(query.step));
  group.document("weight", integer_expression("$sum", 1));
  switch (query.combine) {
    case Combine::kAverage:
      group.document("value", expression("$sum", value));
      break;
    case Combine::kMin:
      group.document("value", expression("$min", value));
      break;
    case Combine::kMax:
      group.document("value", expression("$max", value));
      break;
    case Combine::kCount:
      group.document("value", integer_expression("$sum", 1));
      break;
    case Combine::kSum:
      group.document("value", expression("$avg", value));
      break;
    case Combine::kLast:
      group.document("value", expression("$last", value));
      break;
    case Combine::kIncrease:
    case Combine::kRate:
      group.document("values", expression("$push", value))
          .document("first_time", expression("$first", "$timestamp"))
          .document("last_time", expression("$last", "$timestamp"));
      break;
  }
  return group;
}

// What the GPUs of a group have in one bucket together.
Document group_bucket(Combine combine) {
  Document group;
  group.text("_id", "$_id.bucket");
  group.document("weight", combine == Combine::kAverage ? expression("$sum", "$weight")
                                                        : integer_expression("$sum", 1));
  const std::string_view adds = combine == Combine::kMin   ? "$min"
                                : combine == Combine::kMax ? "$max"
                                                           : "$sum";
  group.document("value", expression(adds, "$value"));
  return group;
}

Array stages_of(const GroupQuery& query, const Part& part) {
  Document by_id;
  by_id.integer("_id", 1);
  Array stages;
  add_stage(stages, "$match", match_ranges(part.ranges, query.metric));
  add_stage(stages, "$sort", by_id);  // the index's order; $last, $first and $push need it
  add_stage(stages, "$group", gpu_bucket(query));
  return stages;
}

Result<void> add_part(const Connection& connection, const GroupQuery& query, const Part& part,
                      GroupSums& sums) {
  Array stages = stages_of(query, part);
  if (part.one_group) {
    add_stage(stages, "$group", group_bucket(query.combine));
    return run_pipeline(connection, stages, kDoing, [&](const DocumentView& view) -> Result<void> {
      const auto start = view.integer("_id");
      const auto value = view.number("value");
      const auto weight = view.integer("weight");
      if (!start || !value || !weight || *weight <= 0) {
        return foreign_document();
      }
      sums.add_part(part.groups.front(), from_unix_milliseconds(*start), *value,
                    static_cast<std::uint64_t>(*weight));
      return {};
    });
  }
  std::unordered_map<GpuUuid, std::uint32_t> groups;
  for (std::size_t i = 0; i < part.ranges.size(); ++i) {
    groups.emplace(part.ranges[i].gpu, part.groups[i]);
  }
  return run_pipeline(connection, stages, kDoing, [&](const DocumentView& view) -> Result<void> {
    const auto text = view.document("_id").text("gpu");
    const auto start = view.document("_id").integer("bucket");
    const auto value = view.number("value");
    const auto weight = view.integer("weight");
    GpuUuid gpu;
    if (!text || !GpuUuid::try_parse(*text, gpu) || !groups.contains(gpu) || !start || !value ||
        !weight || *weight <= 0) {
      return foreign_document();
    }
    const bool counts_samples = query.combine == Combine::kAverage;
    sums.add_part(groups.at(gpu), from_unix_milliseconds(*start), *value,
                  counts_samples ? static_cast<std::uint64_t>(*weight) : 1);
    return {};
  });
}

// {$reduce: ...}: what a list of values of a counter grew by from each to the next.
Document growth_of_values() {
  const auto now = [](Document& out, const char* name) { out.text(name, "$$this"); };
  const auto before = [](Document& out, const char* name) { out.text(name, "$$value.before"); };
  Document choice;
  choice.document("0", operation("$lt", now, before))
      .text("1", "$$this")
      .document("2", operation("$subtract", now, before));
  Document grown;
  grown.array("$cond", choice);
  const auto so_far = [](Document& out, const char* name) { out.text(name, "$$value.growth"); };
  const auto added = [&](Document& out, const char* name) { out.document(name, grown); };
  Document next;
  next.text("before", "$$this").document("growth", operation("$add", so_far, added));

  const auto values = [](Document& out, const char* name) { out.text(name, "$values"); };
  const auto zero = [](Document& out, const char* name) { out.integer(name, 0); };
  Document start;
  start.document("before", operation("$arrayElemAt", values, zero)).number("growth", 0);
  Document reduction;
  reduction.text("input", "$values").document("initialValue", start).document("in", next);
  Document document;
  document.document("$reduce", reduction);
  return document;
}

Document growth_projection() {
  const auto values = [](Document& out, const char* name) { out.text(name, "$values"); };
  const auto newest = [](Document& out, const char* name) { out.integer(name, -1); };
  const auto oldest = [](Document& out, const char* name) { out.integer(name, 0); };
  Document projection;
  projection.integer("first_time", 1)
      .integer("last_time", 1)
      .document("first", operation("$arrayElemAt", values, oldest))
      .document("last", operation("$arrayElemAt", values, newest))
      .document("growth", growth_of_values());
  return projection;
}

struct CounterSample {
  Timestamp time;
  double value = 0;
};

// One bucket of one GPU's counter, as the server tells it.
struct CounterBucket {
  Timestamp start;
  CounterSample first;
  CounterSample last;
  double growth = 0;  // from the first to the last
};

// The last sample of each range's GPU before the range, where there is one.
Result<std::unordered_map<GpuUuid, CounterSample>> samples_before(const Connection& connection,
                                                                  const GroupQuery& query,
                                                                  const Part& part) {
  std::vector<PointRange> before;
  for (const PointRange& range : part.ranges) {
    const Timestamp end = range.start - Milliseconds{1};
    const Timestamp start = std::max(range.start - counter_lookback(query), kFirstPointTime);
    if (start <= end) before.push_back({range.gpu, start, end});
  }
  std::unordered_map<GpuUuid, CounterSample> found;
  if (before.empty()) return found;
  Document by_id;
  by_id.integer("_id", 1);
  Document last;
  last.text("_id", "$gpu_uuid")
      .document("time", expression("$last", "$timestamp"))
      .document("value", expression("$last", "$metrics." + query.metric));
  Array stages;
  add_stage(stages, "$match", match_ranges(before, query.metric));
  add_stage(stages, "$sort", by_id);
  add_stage(stages, "$group", last);
  const auto read =
      run_pipeline(connection, stages, kDoing, [&](const DocumentView& view) -> Result<void> {
        const auto text = view.text("_id");
        const auto time = view.date("time");
        const auto value = view.number("value");
        GpuUuid gpu;
        if (!text || !GpuUuid::try_parse(*text, gpu) || !time || !value) return foreign_document();
        found[gpu] = {*time, *value};
        return {};
      });
  if (!read) return read.error();
  return found;
}

Result<void> read_counter_bucket(const DocumentView& view,
                                 std::map<GpuUuid, std::vector<CounterBucket>>& buckets) {
  const auto text = view.document("_id").text("gpu");
  const auto start = view.document("_id").integer("bucket");
  const auto first_time = view.date("first_time");
  const auto last_time = view.date("last_time");
  const auto first = view.number("first");
  const auto last = view.number("last");
  const auto growth = view.document("growth").number("growth");
  GpuUuid gpu;
  if (!text || !GpuUuid::try_parse(*text, gpu) || !start || !first_time || !last_time || !first ||
      !last || !growth) {
    return foreign_document();
  }
  buckets[gpu].push_back(
      {from_unix_milliseconds(*start), {*first_time, *first}, {*last_time, *last}, *growth});
  return {};
}

Result<void> add_counter_part(const Connection& connection, const GroupQuery& query,
                              const Part& part, GroupSums& sums) {
  const auto before = samples_before(connection, query, part);
  if (!before) return before.error();
  Array stages = stages_of(query, part);
  add_stage(stages, "$project", growth_projection());
  std::map<GpuUuid, std::vector<CounterBucket>> buckets;
  const auto read = run_pipeline(connection, stages, kDoing, [&](const DocumentView& view) {
    return read_counter_bucket(view, buckets);
  });
  if (!read) return read;
  std::vector<Growth> growth;
  for (std::size_t i = 0; i < part.ranges.size(); ++i) {
    const auto found = buckets.find(part.ranges[i].gpu);
    if (found == buckets.end()) continue;
    std::sort(found->second.begin(), found->second.end(),
              [](const CounterBucket& a, const CounterBucket& b) { return a.start < b.start; });
    const auto earlier = before->find(found->first);
    std::optional<CounterSample> previous;
    if (earlier != before->end()) previous = earlier->second;
    growth.clear();
    for (const CounterBucket& bucket : found->second) {
      Growth& each = growth.emplace_back();
      each.start = bucket.start;
      if (previous) {
        each.add(previous->value, bucket.first.value, bucket.first.time - previous->time);
      }
      each.growth += bucket.growth;
      each.time += bucket.last.time - bucket.first.time;
      previous = bucket.last;
    }
    sums.add(part.groups[i], growth);
  }
  return {};
}

}  // namespace

Result<std::vector<GroupSeries>> aggregate_point_groups(const Connection& connection,
                                                        const GroupQuery& query) {
  // Another name is nobody's, and would be read as an operator or a path.
  if (!is_valid_metric_name(query.metric) || query.start > query.end ||
      query.start > kLastPointTime || query.end < kFirstPointTime) {
    return std::vector<GroupSeries>();
  }
  GroupSums sums(query);
  const bool counter = is_of_counter(query.combine);
  const Parts parts(query, counter);
  for (const Part& part : parts.all()) {
    const auto added = counter ? add_counter_part(connection, query, part, sums)
                               : add_part(connection, query, part, sums);
    if (!added) return added.error();
  }
  return sums.series();
}

}  // namespace gpu_telemetry::storage::mongodb
