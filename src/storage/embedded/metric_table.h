// The store's own numbers for metric names, so that hot paths carry no strings.
#pragma once

#include <cstdint>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "domain/result.h"

namespace gpu_telemetry::storage::embedded {

// Numbers are dense, given in order of first use, and hold while the store is open: files name
// their metrics themselves. Thread-safe.
class MetricTable {
 public:
  // More names than any exporter has; a source that invents names must not grow every GPU's index.
  static constexpr std::size_t kMaxMetrics = 16'384;

  // Replaces `ids` with the number of each name, new ones included.
  // Errors: kInvalid past kMaxMetrics names.
  Result<void> resolve(const std::vector<std::string>& names, std::vector<std::uint32_t>& ids);

  // The names of the given numbers. The views hold as long as the table.
  std::vector<std::string_view> names(const std::vector<std::uint32_t>& ids) const;

  // The number of a name that is known; kUnknown else.
  static constexpr std::uint32_t kUnknown = UINT32_MAX;
  std::uint32_t find(std::string_view name) const;

  std::size_t size() const;

  // Every name, sorted.
  std::vector<std::string> all() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  mutable std::shared_mutex mutex_;
  // Nodes of the map do not move, so the views into its keys stay right.
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> ids_;
  std::vector<std::string_view> names_;
};

}  // namespace gpu_telemetry::storage::embedded
