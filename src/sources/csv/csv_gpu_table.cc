#include "sources/csv/csv_gpu_table.h"

#include <map>

#include "sources/csv/csv_labels.h"

namespace gpu_telemetry::sources::csv {
namespace {

constexpr std::size_t kFirstBuckets = 1024;
// Attributes kept per GPU for sharing.
constexpr std::size_t kMaxKnown = 16;

// Whether `text` is UTF-8 (RFC 3629) without control characters but tab and line feed: it goes on
// to JSON documents and other stores.
bool is_clean_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) {
      if (lead < 0x20 ? lead != '\t' && lead != '\n' : lead == 0x7f) return false;
      continue;
    }
    const unsigned rest = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i < rest) return false;
    std::uint32_t point = lead & (0x3fU >> rest);
    for (unsigned k = 0; k < rest; ++k) {
      const auto next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3f);
    }
    constexpr std::uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    if (point < kSmallest[rest] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      return false;
    }
  }
  return true;
}

// Labels that say something about a reading, or about who collected it, and not about the GPU.
bool is_no_attribute(std::string_view name) {
  return name == "__name__" || name == "instance" || name == "job" || name == "err_code" ||
         name == "err_msg" || name == "window_size_in_ms";
}

// Where the value of __name__ stands in labels as written (with doubled quotes, or single ones
// where the field is not quoted), or npos.
std::size_t find_metric_name(std::string_view labels) {
  for (const std::string_view opening : {"__name__=\"\"", "__name__=\""}) {
    const std::size_t at = labels.find(opening);
    if (at == std::string_view::npos) continue;
    // Not the end of a longer name, and not inside a value.
    if (at > 0 && labels[at - 1] != ',' && labels[at - 1] != '"' && labels[at - 1] != '{' &&
        labels[at - 1] != ' ') {
      return std::string_view::npos;
    }
    return at + opening.size();
  }
  return std::string_view::npos;
}

std::string* attribute_of(Gpu& gpu, Column column) {
  switch (column) {
    case Column::kGpuIndex:
      return &gpu.gpu_index;
    case Column::kDevice:
      return &gpu.device_id;
    case Column::kModelName:
      return &gpu.model_name;
    case Column::kHostname:
      return &gpu.hostname;
    case Column::kContainer:
      return &gpu.attribution.container;
    case Column::kPod:
      return &gpu.attribution.pod;
    case Column::kNamespace:
      return &gpu.attribution.pod_namespace;
    default:
      return nullptr;
  }
}

}  // namespace

GpuTable::GpuTable(Shard shard) : shard_(shard), buckets_(kFirstBuckets, kNone) {}

void GpuTable::select(ShardSet shards) {
  selected_ = shards;
  for (GpuVariant& variant : variants_) variant.owned = owns(variant);
}

void GpuTable::set_header(const CsvHeader& header) {
  if (header == header_) return;
  header_ = header;
  clear();
}

void GpuTable::clear() {
  variants_.clear();
  buckets_.assign(kFirstBuckets, kNone);
  entity_numbers_.clear();
  entities_.clear();
  last_ = 0;
  bytes_ = 0;
}

const GpuVariant* GpuTable::find_by_uuid(const CsvRecord& record, std::string_view metric) {
  const std::uint64_t hash = hash_text(header_.raw(record, Column::kUuid));
  std::uint32_t at = buckets_[hash & (buckets_.size() - 1)];
  for (; at != kNone; at = variants_[at].next_in_bucket) {
    const GpuVariant& variant = variants_[at];
    if (variant.hash != hash || !matches(variant, record, metric)) continue;
    variants_[last_].successor = at;
    return &variants_[last_ = at];
  }
  return nullptr;
}

Result<const GpuVariant*> GpuTable::add(const CsvRecord& record) {
  Result<Gpu> gpu = decode(record);
  if (!gpu) return gpu.error();
  const std::uint64_t hash = hash_text(header_.raw(record, Column::kUuid));
  const std::uint32_t entity = entity_of(gpu->uuid);
  const std::uint32_t at = place_for(hash);
  GpuVariant& variant = variants_[at];
  variant.hash = hash;
  variant.entity = entity;
  variant.gpu = share(entities_[entity], std::move(*gpu));
  variant.shard = static_cast<std::uint8_t>(shard_of(variant.gpu->uuid));
  variant.owned = owns(variant);
  set_text(variant, record);
  variant.successor = at;
  variants_[last_].successor = at;
  last_ = at;
  // The text, and about as much again in the decoded attributes.
  bytes_ += sizeof(GpuVariant) + sizeof(Gpu) + 2 * variant.text.size();
  return &variant;
}

Result<Gpu> GpuTable::decode(const CsvRecord& record) {
  std::size_t size = header_.raw(record, Column::kLabels).size();
  for (const CsvHeader::Run& run : header_.identity_runs()) {
    size += record.ends[run.last] -
            static_cast<std::size_t>(record.raw(run.first).data() - record.buffer);
  }
  if (size > kMaxIdentitySize) {
    return invalid("the columns and labels that describe the GPU have " + std::to_string(size) +
                   " bytes; at most 16384 are read");
  }
  Gpu gpu;
  if (const Result<void> done = decode_columns(record, gpu); !done) return done.error();
  if (const Result<void> done = apply_labels(record, gpu); !done) return done.error();
  return gpu;
}

Result<void> GpuTable::decode_columns(const CsvRecord& record, Gpu& gpu) {
  std::string_view uuid;
  if (!strip_quotes(header_.raw(record, Column::kUuid), uuid)) uuid = {};
  const Result<GpuUuid> parsed = GpuUuid::parse(uuid);
  if (!parsed) return parsed.error();
  gpu.uuid = *parsed;
  for (std::size_t c = 0; c < kColumnCount; ++c) {
    const auto column = static_cast<Column>(c);
    std::string* const attribute = attribute_of(gpu, column);
    if (attribute == nullptr) continue;
    if (!append_unquoted(header_.raw(record, column), *attribute)) {
      return invalid("a quoted field does not end with its quote");
    }
    if (!is_clean_text(*attribute)) {
      return invalid("a column that describes the GPU has control characters or is not UTF-8");
    }
  }
  return {};
}

// Takes from the labels what the columns leave open, and what they do not have.
Result<void> GpuTable::apply_labels(const CsvRecord& record, Gpu& gpu) {
  scratch_.clear();
  LabelList labels;
  if (!append_unquoted(header_.raw(record, Column::kLabels), scratch_) ||
      !decode_labels(scratch_, labels)) {
    return invalid("labels_raw is not a list of at most 128 labels, name=\"value\",...");
  }
  if (!is_clean_text(scratch_)) {
    return invalid("labels_raw has control characters or is not UTF-8");
  }
  std::array<unsigned, kColumnCount> best{};
  std::array<std::string, kColumnCount> found;
  std::map<std::string, std::string> further;  // of a name twice the last counts
  std::string instance_id;
  for (auto& [name, value] : labels) {
    Column column;
    unsigned preference;
    if (is_no_attribute(name)) continue;
    if (find_column(name, column, preference)) {
      const auto c = static_cast<std::size_t>(column);
      if (best[c] != 0 && best[c] <= preference + 1) continue;
      best[c] = preference + 1;
      found[c] = std::move(value);
      continue;
    }
    if (name == "GPU_I_ID") instance_id = value;
    if (!value.empty()) further.insert_or_assign(std::move(name), std::move(value));
  }
  for (std::size_t c = 0; c < kColumnCount; ++c) {
    std::string* const attribute = attribute_of(gpu, static_cast<Column>(c));
    if (attribute != nullptr && attribute->empty()) *attribute = std::move(found[c]);
  }
  if (!instance_id.empty() && gpu.uuid.kind() == GpuUuid::Kind::kGpu) {
    further.insert_or_assign("parent_uuid", gpu.uuid.to_string());
    gpu.uuid = gpu.uuid.mig_instance(instance_id);
  }
  gpu.labels.assign(further.begin(), further.end());
  return {};
}

void GpuTable::set_text(GpuVariant& variant, const CsvRecord& record) const {
  variant.text.clear();
  variant.run_sizes.fill(0);
  std::size_t run = 0;
  for (const CsvHeader::Run& columns : header_.identity_runs()) {
    const char* const from = record.raw(columns.first).data();
    const char* const to = record.buffer + record.ends[columns.last];
    variant.text.append(from, to);
    variant.run_sizes[run++] = static_cast<std::uint32_t>(to - from);
  }
  const std::string_view labels = header_.raw(record, Column::kLabels);
  const std::size_t name = find_metric_name(labels);
  std::string_view metric;
  variant.labels_name_metric = name != std::string_view::npos &&
                               strip_quotes(header_.raw(record, Column::kMetricName), metric) &&
                               labels.substr(name).starts_with(metric) &&
                               labels.substr(name + metric.size()).starts_with('"');
  const std::size_t before = variant.labels_name_metric ? name : labels.size();
  const std::size_t after = variant.labels_name_metric ? name + metric.size() : labels.size();
  variant.text.append(labels.substr(0, before)).append(labels.substr(after));
  variant.labels_before = static_cast<std::uint32_t>(before);
  variant.labels_after = static_cast<std::uint32_t>(labels.size() - after);
}

std::uint32_t GpuTable::entity_of(const GpuUuid& uuid) {
  const auto [at, added] =
      entity_numbers_.try_emplace(uuid, static_cast<std::uint32_t>(entities_.size()));
  if (added) entities_.emplace_back();
  return at->second;
}

GpuPointer GpuTable::share(Entity& entity, Gpu&& gpu) {
  for (const GpuPointer& known : entity.known) {
    if (*known == gpu) return known;
  }
  if (entity.known.size() == kMaxKnown) entity.known.erase(entity.known.begin());
  return entity.known.emplace_back(std::make_shared<const Gpu>(std::move(gpu)));
}

// Where a new variant goes: a new place at the head of its bucket, or, when the UUID has its fill,
// that of its oldest.
std::uint32_t GpuTable::place_for(std::uint64_t hash) {
  unsigned same = 0;
  std::uint32_t oldest = kNone;
  for (std::uint32_t at = buckets_[hash & (buckets_.size() - 1)]; at != kNone;
       at = variants_[at].next_in_bucket) {
    if (variants_[at].hash != hash) continue;
    ++same;
    oldest = at;
  }
  std::uint32_t place = oldest;
  if (same < kMaxVariantsPerGpu) {
    if (variants_.size() >= buckets_.size()) grow_buckets();
    place = static_cast<std::uint32_t>(variants_.size());
    variants_.emplace_back();
  } else {
    // Unlinked, so that it can stand first again.
    std::uint32_t* link = &buckets_[hash & (buckets_.size() - 1)];
    while (*link != place) link = &variants_[*link].next_in_bucket;
    *link = variants_[place].next_in_bucket;
  }
  std::uint32_t& bucket = buckets_[hash & (buckets_.size() - 1)];
  variants_[place].next_in_bucket = bucket;
  bucket = place;
  return place;
}

void GpuTable::grow_buckets() {
  // Oldest first, so that each bucket keeps its newest first.
  buckets_.assign(buckets_.size() * 4, kNone);
  for (std::uint32_t at = 0; at < variants_.size(); ++at) {
    std::uint32_t& bucket = buckets_[variants_[at].hash & (buckets_.size() - 1)];
    variants_[at].next_in_bucket = bucket;
    bucket = at;
  }
}

}  // namespace gpu_telemetry::sources::csv
