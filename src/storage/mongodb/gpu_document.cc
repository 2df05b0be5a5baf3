#include "storage/mongodb/gpu_document.h"

#include <optional>
#include <string>

namespace gpu_telemetry::storage::mongodb {

namespace {

Error damaged(std::string_view id, std::string_view what) {
  return corrupt("MongoDB: gpus " + std::string(id) + ": " + std::string(what));
}

std::string text_of(const DocumentView& view, const char* name) {
  return std::string(view.text(name).value_or(""));
}

std::optional<AttributionInterval> read_interval(const DocumentView& view) {
  const auto start = view.date("start");
  const auto end = view.date("end");
  if (!start || !end) return std::nullopt;
  return AttributionInterval{
      *start, *end, {text_of(view, "container"), text_of(view, "pod"), text_of(view, "namespace")}};
}

void read_labels(const DocumentView& labels, Gpu& gpu) {
  if (!labels.is_there()) return;
  bson_iter_t member = labels.begin();
  while (bson_iter_next(&member)) {
    const DocumentView label = DocumentView::document_at(member);
    gpu.labels.emplace_back(text_of(label, "name"), text_of(label, "value"));
  }
}

}  // namespace

Result<StoredGpu> read_gpu(const bson_t* document) {
  const DocumentView view(document);
  const std::string_view id = view.text("_id").value_or("(an _id that is no text)");
  StoredGpu stored;
  Gpu& gpu = stored.record.gpu;
  if (!GpuUuid::try_parse(id, gpu.uuid)) return damaged(id, "the _id is no UUID of a GPU");
  const auto version = view.integer("version");
  const auto first_seen = view.date("first_seen");
  const auto last_seen = view.date("last_seen");
  if (!version || *version <= 0 || !first_seen || !last_seen) {
    return damaged(id, "a number version > 0 and the dates first_seen and last_seen are needed");
  }
  const auto newest = read_interval(view.document("attribution"));
  if (!newest) return damaged(id, "attribution needs the dates start and end");
  stored.version = *version;
  stored.record.first_seen = *first_seen;
  stored.record.last_seen = *last_seen;
  stored.newest = *newest;
  gpu.device_id = text_of(view, "device_id");
  gpu.gpu_index = text_of(view, "gpu_index");
  gpu.model_name = text_of(view, "model_name");
  gpu.hostname = text_of(view, "hostname");
  gpu.attribution = newest->who;
  read_labels(view.document("labels"), gpu);

  const DocumentView earlier = view.document("earlier_attributions");
  stored.has_earlier = earlier.is_there();
  if (!stored.has_earlier) return stored;
  bson_iter_t member = earlier.begin();
  while (bson_iter_next(&member)) {
    auto interval = read_interval(DocumentView::document_at(member));
    if (!interval) return damaged(id, "each of earlier_attributions needs dates start and end");
    stored.earlier.push_back(std::move(*interval));
  }
  return stored;
}

Document interval_document(const AttributionInterval& interval) {
  Document document;
  document.date("start", interval.start)
      .date("end", interval.end)
      .text("container", interval.who.container)
      .text("pod", interval.who.pod)
      .text("namespace", interval.who.pod_namespace);
  return document;
}

Array interval_list(std::span<const AttributionInterval> intervals) {
  Array list;
  for (const AttributionInterval& interval : intervals) list.add(interval_document(interval));
  return list;
}

void add_attributes(Document& document, const StoredGpu& stored) {
  const Gpu& gpu = stored.record.gpu;
  Array labels;
  for (const auto& [name, value] : gpu.labels) {
    Document label;
    label.text("name", name).text("value", value);
    labels.add(label);
  }
  document.integer("version", stored.version)
      .text("hostname", gpu.hostname)
      .text("device_id", gpu.device_id)
      .text("gpu_index", gpu.gpu_index)
      .text("model_name", gpu.model_name)
      .array("labels", labels.list())
      .date("first_seen", stored.record.first_seen)
      .date("last_seen", stored.record.last_seen)
      .document("attribution", interval_document(stored.newest));
}

Document gpu_filter(const GpuFilter& filter) {
  Document document;
  const auto add = [&](const char* name, const std::vector<std::string>& wanted) {
    if (wanted.empty()) return;
    if (wanted.size() == 1) {
      document.text(name, valid_utf8(wanted.front()));
      return;
    }
    Array alternatives;
    for (const std::string& value : wanted) alternatives.add(valid_utf8(value));
    Document in;
    in.array("$in", alternatives.list());
    document.document(name, in);
  };
  add("hostname", filter.hostname);
  add("model_name", filter.model_name);
  add("attribution.namespace", filter.pod_namespace);
  add("attribution.pod", filter.pod);
  add("attribution.container", filter.container);
  return document;
}

Gpu storable(const Gpu& gpu) {
  Gpu copy = gpu;
  for (std::string* text :
       {&copy.device_id, &copy.gpu_index, &copy.model_name, &copy.hostname,
        &copy.attribution.container, &copy.attribution.pod, &copy.attribution.pod_namespace}) {
    *text = valid_utf8(*text);
  }
  for (auto& [name, value] : copy.labels) {
    name = valid_utf8(name);
    value = valid_utf8(value);
  }
  return copy;
}

}  // namespace gpu_telemetry::storage::mongodb
