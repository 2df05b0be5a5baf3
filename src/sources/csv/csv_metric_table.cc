#include "sources/csv/csv_metric_table.h"

#include <algorithm>

#include "domain/telemetry_batch.h"
#include "sources/csv/csv_scanner.h"

namespace gpu_telemetry::sources::csv {
namespace {

// Below every blank code of DCGM: 0x7ffffff0 and up in int32 fields, and larger ones elsewhere.
constexpr double kBelowBlanks = 0x7fffffef;

}  // namespace

void MetricTable::clear() {
  metrics_.clear();
  metric_numbers_.clear();
  texts_.clear();
  text_numbers_.clear();
  last_ = 0;
}

const MetricTable::Found* MetricTable::find_or_add(std::string_view raw) {
  auto at = text_numbers_.find(raw);
  if (at == text_numbers_.end()) {
    std::string_view name;
    if (!strip_quotes(raw, name) || !is_valid_metric_name(name)) return nullptr;
    const std::uint32_t metric = metric_of(name);
    const auto number = static_cast<std::uint32_t>(texts_.size());
    at = text_numbers_.emplace(std::string(raw), number).first;
    // The map's keys stay where they are.
    std::string_view kept;
    strip_quotes(at->first, kept);
    texts_.push_back({.raw = at->first, .found = {.text = kept, .metric = metric}, .successor = 0});
  }
  texts_[last_].successor = at->second;
  last_ = at->second;
  return &texts_[last_].found;
}

std::uint32_t MetricTable::metric_of(std::string_view name) {
  const std::string_view canonical = canonical_metric_name(name);
  if (const auto known = metric_numbers_.find(canonical); known != metric_numbers_.end()) {
    return known->second;
  }
  const auto number = static_cast<std::uint32_t>(metrics_.size());
  metric_numbers_.emplace(std::string(canonical), number);
  Metric metric{.name = std::string(canonical), .definition = find_metric(name)};
  metric.surely_from = metric.definition != nullptr ? metric.definition->valid_min : -kBelowBlanks;
  metric.surely_to = metric.definition != nullptr
                         ? std::min(metric.definition->valid_max, kBelowBlanks)
                         : kBelowBlanks;
  metrics_.push_back(std::move(metric));
  return number;
}

}  // namespace gpu_telemetry::sources::csv
