#include "storage/embedded/interleave.h"

#include <algorithm>
#include <utility>

namespace gpu_telemetry::storage::embedded {

namespace {

// Columns that have the same timestamps.
struct Group {
  const std::vector<std::int64_t>* timestamps = nullptr;
  std::vector<std::uint32_t> columns;  // ascending
  std::size_t taken = 0;

  bool done() const { return taken == timestamps->size(); }
  std::size_t index(Order order) const {
    return order == Order::kOldestFirst ? taken : timestamps->size() - 1 - taken;
  }
  std::int64_t next(Order order) const { return (*timestamps)[index(order)]; }
};

std::vector<Group> group_columns(std::span<const Samples> columns) {
  std::vector<Group> groups;
  for (std::uint32_t column = 0; column < columns.size(); ++column) {
    if (columns[column].empty()) continue;
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return *group.timestamps == columns[column].timestamps;
    });
    if (same != groups.end()) {
      same->columns.push_back(column);
    } else {
      groups.push_back({&columns[column].timestamps, {column}, 0});
    }
  }
  return groups;
}

void emit_single(std::span<const Samples> columns, const Group& group, Order order,
                 std::vector<StoredSample>& out) {
  const std::size_t count = group.timestamps->size();
  const std::size_t width = group.columns.size();
  const std::size_t begin = out.size();
  out.resize(begin + count * width);
  // Column by column, so that each column's memory is read once from front to back.
  for (std::size_t c = 0; c < width; ++c) {
    const double* const values = columns[group.columns[c]].values.data();
    StoredSample* to = out.data() + begin + c;
    for (std::size_t i = 0; i < count; ++i, to += width) {
      const std::size_t at = order == Order::kOldestFirst ? i : count - 1 - i;
      to->timestamp = from_unix_milliseconds((*group.timestamps)[at]);
      to->metric = group.columns[c];
      to->value = values[at];
    }
  }
}

}  // namespace

void interleave(std::span<const Samples> columns, Order order, std::vector<StoredSample>& out) {
  std::vector<Group> groups = group_columns(columns);
  if (groups.empty()) return;
  if (groups.size() == 1) {
    emit_single(columns, groups.front(), order, out);
    return;
  }
  std::size_t total = out.size();
  for (const Group& group : groups) total += group.timestamps->size() * group.columns.size();
  out.reserve(total);
  while (!groups.empty()) {
    std::int64_t time = groups.front().next(order);
    std::size_t tied = 0;
    for (const Group& group : groups) {
      const std::int64_t next = group.next(order);
      if (next == time) {
        ++tied;
      } else if ((next < time) == (order == Order::kOldestFirst)) {
        time = next;
        tied = 1;
      }
    }
    const std::size_t begin = out.size();
    bool ended = false;
    for (Group& group : groups) {
      if (group.next(order) != time) continue;
      const std::size_t at = group.index(order);
      for (const std::uint32_t column : group.columns) {
        out.push_back({from_unix_milliseconds(time), column, columns[column].values[at]});
      }
      ++group.taken;
      ended |= group.done();
    }
    if (tied > 1) {
      std::sort(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
                [](const StoredSample& a, const StoredSample& b) { return a.metric < b.metric; });
    }
    if (ended) std::erase_if(groups, [](const Group& group) { return group.done(); });
  }
}

}  // namespace gpu_telemetry::storage::embedded
