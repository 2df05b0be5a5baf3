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
  const std::size_t most = base.size() - kept + newer.size();
  if (scratch.size() < most) {
    scratch.timestamps.resize(most);
    scratch.values.resize(most);
  }
  std::size_t merged = 0;
  const auto put = [&](const Samples& from, std::size_t at) {
    scratch.timestamps[merged] = from.timestamps[at];
    scratch.values[merged++] = from.values[at];
  };
  while (i < base.size() && j < newer.size()) {
    const std::int64_t next = newer.timestamps[j];
    if (base.timestamps[i] < next) {
      put(base, i++);
    } else {
      if (base.timestamps[i] == next) ++i;
      put(newer, j++);
    }
  }
  for (; i < base.size(); ++i) put(base, i);
  for (; j < newer.size(); ++j) put(newer, j);
  base.timestamps.resize(kept);
  base.values.resize(kept);
  append_range(base, scratch, 0, merged);
}

}  // namespace gpu_telemetry::storage::embedded
