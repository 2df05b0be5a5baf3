#include "storage/embedded/metric_table.h"

#include <algorithm>
#include <mutex>

namespace gpu_telemetry::storage::embedded {

Result<void> MetricTable::resolve(const std::vector<std::string>& names,
                                  std::vector<std::uint32_t>& ids) {
  ids.clear();
  {
    std::shared_lock lock(mutex_);
    for (const std::string& name : names) {
      const auto found = ids_.find(name);
      if (found == ids_.end()) break;
      ids.push_back(found->second);
    }
  }
  if (ids.size() == names.size()) return {};

  std::unique_lock lock(mutex_);
  for (std::size_t i = ids.size(); i < names.size(); ++i) {
    const auto found = ids_.find(names[i]);
    if (found != ids_.end()) {
      ids.push_back(found->second);
      continue;
    }
    if (names_.size() >= kMaxMetrics) {
      return invalid("metric \"" + names[i] + "\" would be one more than the " +
                     std::to_string(kMaxMetrics) + " metric names that a store may hold");
    }
    const auto id = static_cast<std::uint32_t>(names_.size());
    const auto place = ids_.emplace(names[i], id).first;
    names_.push_back(place->first);
    ids.push_back(id);
  }
  return {};
}

std::vector<std::string_view> MetricTable::names(const std::vector<std::uint32_t>& ids) const {
  std::vector<std::string_view> found;
  found.reserve(ids.size());
  std::shared_lock lock(mutex_);
  for (const std::uint32_t id : ids) found.push_back(names_[id]);
  return found;
}

std::uint32_t MetricTable::find(std::string_view name) const {
  std::shared_lock lock(mutex_);
  const auto found = ids_.find(name);
  return found == ids_.end() ? kUnknown : found->second;
}

std::vector<std::string> MetricTable::all() const {
  std::vector<std::string> sorted;
  {
    const std::shared_lock lock(mutex_);
    sorted.assign(names_.begin(), names_.end());
  }
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::size_t MetricTable::size() const {
  std::shared_lock lock(mutex_);
  return names_.size();
}

}  // namespace gpu_telemetry::storage::embedded
