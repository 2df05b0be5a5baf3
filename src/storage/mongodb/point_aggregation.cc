#include "storage/mongodb/point_aggregation.h"

#include <algorithm>
#include <unordered_map>

#include "storage/mongodb/aggregation_stages.h"
#include "storage/mongodb/point_id.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

constexpr std::string_view kDoing = "aggregating telemetry";

// Ranges of `_id` in one command; one GPU needs no more than one.
constexpr std::size_t kGpusPerCommand = 100;

Document group(const AggregateQuery& query) {
  const std::string value = "$metrics." + query.metric;
  Document one;
  one.integer("$sum", 1);
  Document group;
  group.document("_id", bucket_key(query.step))
      .document("count", one)
      .document("sum", expression("$sum", value))
      .document("min", expression("$min", value))
      .document("max", expression("$max", value))
      .document("last", expression("$last", value));
  return group;
}

Result<void> read_bucket(const DocumentView& view,
                         std::unordered_map<GpuUuid, std::vector<Bucket>>& buckets) {
  const auto text = view.document("_id").text("gpu");
  const auto start = view.document("_id").integer("bucket");
  const auto count = view.integer("count");
  const auto sum = view.number("sum");
  const auto min = view.number("min");
  const auto max = view.number("max");
  const auto last = view.number("last");
  GpuUuid gpu;
  if (!text || !GpuUuid::try_parse(*text, gpu) || !start || !count || *count <= 0 || !sum || !min ||
      !max || !last) {
    return foreign_document();
  }
  buckets[gpu].push_back({from_unix_milliseconds(*start), static_cast<std::uint64_t>(*count), *sum,
                          *min, *max, *last});
  return {};
}

Result<void> aggregate_some(const Connection& connection, const AggregateQuery& query,
                            std::span<const GpuUuid> gpus,
                            std::unordered_map<GpuUuid, std::vector<Bucket>>& buckets) {
  std::vector<PointRange> ranges;
  for (const GpuUuid& gpu : gpus) ranges.push_back({gpu, query.start, query.end});
  Document by_id;
  by_id.integer("_id", 1);
  Array stages;
  add_stage(stages, "$match", match_ranges(ranges, query.metric));
  add_stage(stages, "$sort", by_id);  // the index's order; $last needs it
  add_stage(stages, "$group", group(query));
  return run_pipeline(connection, stages, kDoing,
                      [&](const DocumentView& document) { return read_bucket(document, buckets); });
}

}  // namespace

Result<std::vector<GpuBuckets>> aggregate_points(const Connection& connection,
                                                 const AggregateQuery& query) {
  std::vector<GpuBuckets> answer;
  // Another name is nobody's, and would be read as an operator or a path.
  if (!is_valid_metric_name(query.metric)) return answer;
  if (query.start > query.end || query.start > kLastPointTime || query.end < kFirstPointTime) {
    return answer;
  }
  std::unordered_map<GpuUuid, std::vector<Bucket>> buckets;
  std::vector<GpuUuid> gpus = query.gpus;
  std::sort(gpus.begin(), gpus.end());
  gpus.erase(std::unique(gpus.begin(), gpus.end()), gpus.end());
  std::span<const GpuUuid> left = gpus;
  while (!left.empty()) {
    const std::size_t size = std::min(left.size(), kGpusPerCommand);
    const auto done = aggregate_some(connection, query, left.first(size), buckets);
    if (!done) return done.error();
    left = left.subspan(size);
  }
  for (const GpuUuid& gpu : query.gpus) {
    const auto found = buckets.find(gpu);
    if (found == buckets.end()) continue;
    std::sort(found->second.begin(), found->second.end(),
              [](const Bucket& a, const Bucket& b) { return a.start < b.start; });
    answer.push_back({gpu, found->second});
  }
  return answer;
}

}  // namespace gpu_telemetry::storage::mongodb
