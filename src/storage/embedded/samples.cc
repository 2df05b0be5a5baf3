#include "storage/embedded/samples.h"

#include <algorithm>
#include <utility>

namespace gpu_telemetry::storage::embedded {

namespace {

void append_range(Samples& to, const Samples& from, std::size_t begin, std::size_t end) {
  const auto b = static_cast<std::ptrdiff_t>(begin);
  const auto e = static_cast<std::ptrdiff_t>(end);
  to.timestamps.insert(to.timestamps.end(), from.timestamps.begin() + b,
                       from.timestamps.begin() + e);
  to.values.insert(to.values.end(), from.values.begin() + b, from.values.begin() + e);
}

}  // namespace

void overlay(Samples& base, const Samples& newer, Samples& scratch) {
  if (newer.empty()) return;
  if (base.empty() || base.timestamps.back() < newer.timestamps.front()) {
    append_range(base, newer, 0, newer.size());
    return;
  }
  // What lies before the newer set stays where it is; only the rest is merged.
  const auto split =
      std::lower_bound(base.timestamps.begin(), base.timestamps.end(), newer.timestamps.front());
  std::size_t i = static_cast<std::size_t>(split - base.timestamps.begin());
  const std::size_t kept = i;
  std::size_t j = 0;
  scratch.clear();
  while (i < base.size() && j < newer.size()) {
    const std::int64_t a = base.timestamps[i];
    const std::int64_t b = newer.timestamps[j];
    if (a < b) {
      scratch.append(a, base.values[i++]);
    } else {
      scratch.append(b, newer.values[j++]);
      if (a == b) ++i;
    }
  }
  append_range(scratch, base, i, base.size());
  append_range(scratch, newer, j, newer.size());
  base.timestamps.resize(kept);
  base.values.resize(kept);
  append_range(base, scratch, 0, scratch.size());
}

}  // namespace gpu_telemetry::storage::embedded
