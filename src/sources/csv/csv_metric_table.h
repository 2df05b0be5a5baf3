// Knows the metrics of the rows read so far by their text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "domain/metric_catalogue.h"
#include "sources/csv/csv_text.h"

namespace gpu_telemetry::sources::csv {

struct Metric {
  std::string name;                              // canonical
  const MetricDefinition* definition = nullptr;  // null: not in the catalogue
  // A plain decimal number in this range is a reading, whatever the catalogue's rules for blanks.
  double surely_from = 0;
  double surely_to = 0;
};

// Texts kept before the table should be cleared (wants_reset): a hundred times DCGM's fields.
inline constexpr std::size_t kMaxMetricTexts = 65'536;

class MetricTable {
 public:
  struct Found {
    std::string_view text;  // the name as written, without quotes; valid until clear()
    std::uint32_t metric = 0;
  };

  void clear();
  bool wants_reset() const { return texts_.size() > kMaxMetricTexts; }

  const Metric& metric(std::uint32_t number) const { return metrics_[number]; }
  std::size_t metric_count() const { return metrics_.size(); }

  // What `raw` (a field as written) names, or null when it is no metric name. The names of one
  // renamed field are one metric.
  [[gnu::always_inline]] const Found* find(std::string_view raw) {
    // A metric-major file stays with a metric, a GPU-major one repeats them in one order.
    if (last_ < texts_.size()) {
      if (same_text(texts_[last_].raw, raw)) return &texts_[last_].found;
      const std::uint32_t guess = texts_[last_].successor;
      if (same_text(texts_[guess].raw, raw)) return &texts_[last_ = guess].found;
    }
    return find_or_add(raw);
  }

 private:
  struct Text {
    std::string_view raw;  // the key of numbers_
    Found found;
    std::uint32_t successor = 0;
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return hash_text(text); }
  };
  using Numbers = std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>>;

  const Found* find_or_add(std::string_view raw);
  std::uint32_t metric_of(std::string_view name);

  std::vector<Metric> metrics_;
  Numbers metric_numbers_;  // by canonical name
  std::vector<Text> texts_;
  Numbers text_numbers_;  // by text as written
  std::uint32_t last_ = 0;
};

}  // namespace gpu_telemetry::sources::csv
