#include "storage/mongodb/aggregation_stages.h"

#include <string>

#include "storage/mongodb/point_id.h"
#include "storage/mongodb/point_query.h"

namespace gpu_telemetry::storage::mongodb {

Document expression(std::string_view name, std::string_view of) {
  Document document;
  document.text(name, of);
  return document;
}

void add_stage(Array& pipeline, std::string_view name, const Document& body) {
  Document stage;
  stage.document(name, body);
  pipeline.add(stage);
}

Document bucket_key(Milliseconds step) {
  const auto time = [](Document& out, const char* name) { out.text(name, "$timestamp"); };
  const auto epoch = [](Document& out, const char* name) { out.date(name, Timestamp{}); };
  const Document since_epoch = operation("$subtract", time, epoch);
  const auto elapsed = [&](Document& out, const char* name) { out.document(name, since_epoch); };
  const auto length = [&](Document& out, const char* name) { out.integer(name, step.count()); };
  const Document remainder = operation("$mod", elapsed, length);
  const auto rest = [&](Document& out, const char* name) { out.document(name, remainder); };
  Document key;
  key.text("gpu", "$gpu_uuid").document("bucket", operation("$subtract", elapsed, rest));
  return key;
}

Document match_ranges(std::span<const PointRange> ranges, std::string_view metric) {
  Document filter;
  if (ranges.size() == 1) {
    add_id_range(filter, ranges[0].gpu, ranges[0].start, ranges[0].end);
  } else {
    Array alternatives;
    for (const PointRange& range : ranges) {
      Document alternative;
      add_id_range(alternative, range.gpu, range.start, range.end);
      alternatives.add(alternative);
    }
    filter.array("$or", alternatives.list());
  }
  if (metric.empty()) return filter;
  Document exists;
  exists.boolean("$exists", true);
  filter.document("metrics." + std::string(metric), exists);
  return filter;
}

Result<void> run_pipeline(const Connection& connection, const Array& stages, std::string_view doing,
                          const std::function<Result<void>(const DocumentView&)>& visit) {
  Document pipeline;
  pipeline.array("pipeline", stages.list());
  Document options;
  options.boolean("allowDiskUse", true);
  const Collection collection = connection.collection(kPointsCollection);
  const Cursor cursor(mongoc_collection_aggregate(collection.get(), MONGOC_QUERY_NONE,
                                                  pipeline.get(), options.get(), nullptr));
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor.get(), &document)) {
    const auto visited = visit(DocumentView(document));
    if (!visited) return visited;
  }
  return connection.end_of(cursor, doing);
}

Error foreign_document() {
  return corrupt(
      "MongoDB: telemetry_points has a document in the range that is none of ours: gpu_uuid, "
      "timestamp or a metric is missing or of another type");
}

}  // namespace gpu_telemetry::storage::mongodb
