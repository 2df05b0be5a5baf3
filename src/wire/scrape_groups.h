// Which GPU was read when, and of which metrics (docs/formats/wire.md, "Scrapes").
//
// A *shape* is the list of metrics of a scrape. A *group* is up to kMaxGroup neighbouring scrapes
// of one GPU; its *pattern* says how far apart they are and of which shape. A fleet that reports in
// one rhythm has one pattern, so that a GPU's scrapes cost a few bits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "domain/result.h"
#include "domain/telemetry_batch.h"
#include "io/bytes.h"
#include "wire/columns.h"

namespace gpu_telemetry::wire {

inline constexpr std::size_t kMaxGroup = 16;

inline std::uint64_t hash_of(std::uint32_t metric) { return metric; }

// One scrape of a pattern.
struct PatternStep {
  std::int64_t gap = 0;  // milliseconds since the scrape before it in the group; 0 for the first
  std::uint32_t shape = 0;
  friend bool operator==(const PatternStep&, const PatternStep&) = default;
};
inline std::uint64_t hash_of(const PatternStep& step) {
  return (static_cast<std::uint64_t>(step.gap) << 20) + step.shape;
}

// A list of small lists, flat, with a look-up by content.
template <class T>
class ListTable {
 public:
  struct Extent {
    std::uint32_t first = 0;
    std::uint32_t size = 0;
  };

  void clear() {
    items_.clear();
    extents_.clear();
    slots_.assign(slots_.size(), 0);
  }
  std::size_t size() const { return extents_.size(); }
  std::span<const T> operator[](std::size_t i) const {
    return std::span(items_).subspan(extents_[i].first, extents_[i].size);
  }
  // For decoding, which looks nothing up.
  void start_list() { extents_.push_back({static_cast<std::uint32_t>(items_.size()), 0}); }
  void add(const T& item) {
    items_.push_back(item);
    ++extents_.back().size;
  }

  // The number of the list, added when it is new. `item_at(i)` gives its items.
  template <class ItemAt>
  std::uint32_t find_or_add(std::size_t count, ItemAt item_at) {
    if (2 * (extents_.size() + 1) > slots_.size()) grow();
    std::uint64_t hash = count;
    for (std::size_t i = 0; i < count; ++i) hash = mix(hash, item_at(i));
    std::size_t slot = hash & (slots_.size() - 1);
    for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
      if (equals(slots_[slot] - 1, count, item_at)) return slots_[slot] - 1;
    }
    start_list();
    for (std::size_t i = 0; i < count; ++i) add(item_at(i));
    slots_[slot] = static_cast<std::uint32_t>(extents_.size());
    return slots_[slot] - 1;
  }

  template <class ItemAt>
  bool equals(std::size_t list, std::size_t count, ItemAt item_at) const {
    const Extent extent = extents_[list];
    if (extent.size != count) return false;
    const T* const items = items_.data() + extent.first;
    for (std::size_t i = 0; i < count; ++i) {
      if (!(items[i] == item_at(i))) return false;
    }
    return true;
  }

 private:
  static std::uint64_t mix(std::uint64_t hash, const T& item) {
    hash = (hash ^ hash_of(item)) * 0x9E3779B97F4A7C15ULL;
    return hash ^ (hash >> 29);
  }
  void grow() {
    slots_.assign(slots_.empty() ? 64 : 2 * slots_.size(), 0);
    for (std::size_t list = 0; list < extents_.size(); ++list) {
      std::uint64_t hash = extents_[list].size;
      for (const T& item : (*this)[list]) hash = mix(hash, item);
      std::size_t slot = hash & (slots_.size() - 1);
      while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = static_cast<std::uint32_t>(list + 1);
    }
  }

  std::vector<T> items_;
  std::vector<Extent> extents_;
  std::vector<std::uint32_t> slots_;  // 0: free
};

// Memory that encoding and decoding reuse, and what they leave for the values' columns.
struct ScrapeGroups {
  ListTable<std::uint32_t> shapes;
  ListTable<PatternStep> patterns;
  std::vector<std::int64_t> pattern_of;  // each group
  std::vector<std::int64_t> gpu_step;    // from the group before
  std::vector<std::int64_t> time_step;
  std::vector<std::uint64_t> shape_uses;  // scrapes of each shape
  // Samples of each metric, and where its column starts when all stand one after the other.
  std::vector<std::size_t> samples_of_metric;
};

// Appends shapes, patterns and groups, and sets `groups.samples_of_metric`.
void append_scrapes(std::string& out, const TelemetryBatch& batch, ScrapeGroups& groups,
                    ColumnScratch& scratch);

// Reads them and replaces batch.scrapes, whose counts must add up to the two given. `batch.gpus`
// and `batch.metrics` are there already. Errors: kCorrupt without a place.
Result<void> read_scrapes(io::ByteReader& reader, std::size_t scrape_count,
                          std::size_t sample_count, ScrapeGroups& groups, ColumnScratch& scratch,
                          TelemetryBatch& batch);

}  // namespace gpu_telemetry::wire
