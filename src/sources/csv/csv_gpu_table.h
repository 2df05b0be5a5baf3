// Knows the GPUs of the rows read so far by their text, so that a row of a known one is only
// compared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "domain/gpu.h"
#include "sources/csv/csv_header.h"
#include "sources/csv/csv_text.h"
#include "sources/shareable_source.h"
#include "sources/source.h"

namespace gpu_telemetry::sources::csv {

// One way in which a GPU's columns and labels were written. A GPU has several when its attributes
// changed (a pod that started), or when two exporters write them differently.
struct GpuVariant {
  std::string text;  // the identity columns as written, then the labels but for the metric's name
  std::array<std::uint32_t, 8> run_sizes{};  // of text, for each of CsvHeader::identity_runs()
  std::uint32_t labels_before = 0;           // bytes of the labels before the metric's name
  std::uint32_t labels_after = 0;            // and after it
  bool labels_name_metric = false;
  bool owned = false;        // is read here: by the fixed part and the selected shards
  std::uint8_t shard = 0;    // shard_of() the GPU
  std::uint32_t entity = 0;  // number of the GPU; equal for all variants of one
  GpuPointer gpu;            // equal attributes: the same pointer
  std::uint64_t hash = 0;    // of the UUID's text
  std::uint32_t next_in_bucket = 0;
  std::uint32_t successor = 0;  // the variant that was last seen in the row after this one's
};

// What one row may take in columns and labels that say which GPU it is about.
inline constexpr std::size_t kMaxIdentitySize = std::size_t{16} << 10;
// Variants kept for one UUID; one more replaces the oldest.
inline constexpr unsigned kMaxVariantsPerGpu = 64;
// What all variants together may take before the table should be cleared (wants_reset).
inline constexpr std::size_t kMaxGpuTableBytes = std::size_t{128} << 20;

class GpuTable {
 public:
  explicit GpuTable(Shard shard);

  // Which shards are read from now on; at first all.
  void select(ShardSet shards);

  // Rows are laid out as `header` says from now on. Forgets everything when that is a change.
  void set_header(const CsvHeader& header);
  // Forgets everything; numbers of entities start again.
  void clear();
  bool wants_reset() const { return bytes_ > kMaxGpuTableBytes; }
  std::size_t variant_count() const { return variants_.size(); }

  // The variant that `record` is written as, or null when it was not seen before. `metric` is the
  // row's metric name without quotes. Valid until the next add().
  [[gnu::always_inline]] const GpuVariant* find(const CsvRecord& record, std::string_view metric) {
    // A metric-major file repeats the GPUs in one order, a GPU-major one stays with a GPU.
    if (last_ < variants_.size()) {
      const std::uint32_t guess = variants_[last_].successor;
      if (matches(variants_[guess], record, metric)) return &variants_[last_ = guess];
    }
    return find_by_uuid(record, metric);
  }

  // Reads the attributes of a row that find() does not know and remembers them.
  // Errors: kInvalid: a malformed UUID, text or labels, or too much of it.
  Result<const GpuVariant*> add(const CsvRecord& record);

 private:
  struct Entity {
    std::vector<GpuPointer> known;  // attributes it had, for sharing
  };

  [[gnu::always_inline]] bool matches(const GpuVariant& variant, const CsvRecord& record,
                                      std::string_view metric) const;
  static bool labels_match(const GpuVariant& variant, std::string_view labels,
                           std::string_view metric);
  const GpuVariant* find_by_uuid(const CsvRecord& record, std::string_view metric);
  Result<Gpu> decode(const CsvRecord& record);
  Result<void> decode_columns(const CsvRecord& record, Gpu& gpu);
  Result<void> apply_labels(const CsvRecord& record, Gpu& gpu);
  void set_text(GpuVariant& variant, const CsvRecord& record) const;
  std::uint32_t entity_of(const GpuUuid& uuid);
  GpuPointer share(Entity& entity, Gpu&& gpu);
  std::uint32_t place_for(std::uint64_t hash);
  void grow_buckets();

  bool owns(const GpuVariant& variant) const {
    return contains(selected_, variant.shard) && shard_.owns(variant.gpu->uuid);
  }

  const Shard shard_;
  ShardSet selected_ = kAllShards;
  CsvHeader header_;
  std::vector<GpuVariant> variants_;
  std::vector<std::uint32_t> buckets_;  // first variant of each, or kNone
  std::unordered_map<GpuUuid, std::uint32_t> entity_numbers_;
  std::vector<Entity> entities_;
  std::uint32_t last_ = 0;
  std::size_t bytes_ = 0;
  std::string scratch_;

  static constexpr std::uint32_t kNone = UINT32_MAX;
};

inline bool GpuTable::matches(const GpuVariant& variant, const CsvRecord& record,
                              std::string_view metric) const {
  const char* text = variant.text.data();
  std::size_t run = 0;
  for (const CsvHeader::Run& columns : header_.identity_runs()) {
    const std::string_view first = record.raw(columns.first);
    const std::size_t size =
        record.ends[columns.last] - static_cast<std::size_t>(first.data() - record.buffer);
    if (size != variant.run_sizes[run] || !same_bytes(first.data(), text, size)) return false;
    text += size;
    ++run;
  }
  return labels_match(variant, header_.raw(record, Column::kLabels), metric);
}

inline bool GpuTable::labels_match(const GpuVariant& variant, std::string_view labels,
                                   std::string_view metric) {
  const std::size_t before = variant.labels_before;
  const std::size_t after = variant.labels_after;
  if (labels.size() < before + after) return false;
  const std::string_view name = labels.substr(before, labels.size() - before - after);
  // The label __name__ changes from row to row with the metric, and with nothing else.
  if (variant.labels_name_metric ? !same_text(name, metric) : !name.empty()) return false;
  const char* const text = variant.text.data() + variant.text.size() - before - after;
  return std::memcmp(labels.data(), text, before) == 0 &&
         std::memcmp(name.data() + name.size(), text + before, after) == 0;
}

}  // namespace gpu_telemetry::sources::csv
