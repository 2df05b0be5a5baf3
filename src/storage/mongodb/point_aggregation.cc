#include "storage/mongodb/point_aggregation.h"

#include <algorithm>
#include <unordered_map>

#include "storage/mongodb/point_id.h"
#include "storage/mongodb/point_query.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

constexpr std::string_view kDoing = "aggregating telemetry";

// Ranges of `_id` in one command; one GPU needs no more than one.
constexpr std::size_t kGpusPerCommand = 100;

Document match(const AggregateQuery& query, std::span<const GpuUuid> gpus) {
  Document filter;
  if (gpus.size() == 1) {
    add_id_range(filter, gpus[0], query.start, query.end);
  } else {
    Array ranges;
    for (const GpuUuid& gpu : gpus) {
      Document range;
      add_id_range(range, gpu, query.start, query.end);
      ranges.add(range);
    }
    filter.array("$or", ranges.list());
  }
  Document exists;
  exists.boolean("$exists", true);
  filter.document("metrics." + query.metric, exists);
  return filter;
}

Document expression(std::string_view name, std::string_view of) {
  Document document;
  document.text(name, of);
  return document;
}

// {$OPERATOR: [a, b]}, where each adds itself to a document under the name that it is given.
template <class A, class B>
Document operation(std::string_view name, const A& a, const B& b) {
  Document arguments;
  a(arguments, "0");
  b(arguments, "1");
  Document document;
  document.array(name, arguments);
  return document;
}

// By GPU, and by time less what is left of it after whole steps since the epoch ($dateTrunc has no
// step of any length).
Document group(const AggregateQuery& query) {
  const auto time = [](Document& out, const char* name) { out.text(name, "$timestamp"); };
  const auto epoch = [](Document& out, const char* name) { out.date(name, Timestamp{}); };
  const Document since_epoch = operation("$subtract", time, epoch);
  const auto elapsed = [&](Document& out, const char* name) { out.document(name, since_epoch); };
  const auto step = [&](Document& out, const char* name) { out.integer(name, query.step.count()); };
  const Document remainder = operation("$mod", elapsed, step);
  const auto rest = [&](Document& out, const char* name) { out.document(name, remainder); };
  Document key;
  key.text("gpu", "$gpu_uuid").document("bucket", operation("$subtract", elapsed, rest));

  const std::string value = "$metrics." + query.metric;
  Document one;
  one.integer("$sum", 1);
  Document group;
  group.document("_id", key)
      .document("count", one)
      .document("sum", expression("$sum", value))
      .document("min", expression("$min", value))
      .document("max", expression("$max", value))
      .document("last", expression("$last", value));
  return group;
}

void add_stage(Array& pipeline, std::string_view name, const Document& body) {
  Document stage;
  stage.document(name, body);
  pipeline.add(stage);
}

Result<void> read_bucket(const bson_t* document,
                         std::unordered_map<GpuUuid, std::vector<Bucket>>& buckets) {
  const DocumentView view(document);
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
    return corrupt(
        "MongoDB: telemetry_points has a document in the range that is none of ours: gpu_uuid, "
        "timestamp or a metric is missing or of another type");
  }
  buckets[gpu].push_back({from_unix_milliseconds(*start), static_cast<std::uint64_t>(*count), *sum,
                          *min, *max, *last});
  return {};
}

Result<void> aggregate_some(const Connection& connection, const AggregateQuery& query,
                            std::span<const GpuUuid> gpus,
                            std::unordered_map<GpuUuid, std::vector<Bucket>>& buckets) {
  Document by_id;
  by_id.integer("_id", 1);
  Array stages;
  add_stage(stages, "$match", match(query, gpus));
  add_stage(stages, "$sort", by_id);  // the index's order; $last needs it
  add_stage(stages, "$group", group(query));
  Document pipeline;
  pipeline.array("pipeline", stages.list());
  Document options;
  options.boolean("allowDiskUse", true);
  const Collection collection = connection.collection(kPointsCollection);
  const Cursor cursor(mongoc_collection_aggregate(collection.get(), MONGOC_QUERY_NONE,
                                                  pipeline.get(), options.get(), nullptr));
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor.get(), &document)) {
    const auto read = read_bucket(document, buckets);
    if (!read) return read;
  }
  return connection.end_of(cursor, kDoing);
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
