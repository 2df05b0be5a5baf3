#include "storage/embedded/group_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/bytes.h"
#include "storage/embedded/group_layout.h"

namespace gpu_telemetry::storage::embedded {
namespace {

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// Each reads the rest of a header, behind its first byte, and returns what is wrong, or nothing.
// `full`: whether the group is one that carries statistics.

std::string_view parse_keys(io::ByteReader& reader, bool full, Group& group) {
  group.coding = GroupCoding::kKeys;
  group.width = reader.fixed<std::uint8_t>();
  if (group.width > 64) return "group width above 64 bits";
  group.base = reader.fixed<std::uint64_t>();
  if (!full) return {};
  group.has_statistics = true;
  group.above = reader.varint();
  group.sum = reader.fixed<std::uint64_t>();
  return {};
}

void parse_range(io::ByteReader& reader, bool full, Group& group) {
  group.coding = GroupCoding::kRange;
  if (group.width == 0) {
    group.has_statistics = true;
  } else if (full && group.width <= kWidestWithStatistics) {
    group.has_statistics = true;
    group.above = reader.varint();
    group.sum = reader.varint();
  }
}

void parse_steps(io::ByteReader& reader, bool full, Group& group) {
  group.step = bits(reader.signed_varint());
  if (!full || group.width == 0) return;
  group.has_statistics = true;
  group.below = bits(reader.signed_varint());
  group.above = bits(reader.signed_varint());
  group.sum = bits(reader.signed_varint());
}

// Keeps the number of changes in `width` and the payload's size in `step`.
std::string_view parse_runs(io::ByteReader& reader, std::string_view bytes, Group& group) {
  group.coding = GroupCoding::kRuns;
  group.has_statistics = true;
  const std::uint64_t changes = reader.varint();
  if (changes >= group.count) return "more runs than values";
  group.width = static_cast<std::uint8_t>(changes);
  const std::size_t start = reader.offset();
  group.payload = bytes.data() + start;
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::uint64_t value = 0;
  unsigned left = group.count;
  for (std::uint64_t i = 0; i < changes; ++i) {
    const auto length = reader.fixed<std::uint8_t>();
    if (length == 0 || length >= left) return "run longer than its group";
    left -= length;
    group.sum += length * value;
    value += bits(reader.signed_varint());
    min = std::min(min, static_cast<std::int64_t>(value));
    max = std::max(max, static_cast<std::int64_t>(value));
  }
  group.sum += left * value;
  group.step = reader.offset() - start;
  group.below = 0 - bits(min);
  group.above = bits(max);
  return {};
}

// Reads one header; the payload is set for runs only. Returns what is wrong, or nothing.
std::string_view parse_header(io::ByteReader& reader, std::string_view bytes, bool full,
                              std::uint64_t& reference, Group& group) {
  const auto code = reader.fixed<std::uint8_t>();
  if (code > kKeysCode) return "unknown group coding";
  if (code == kKeysCode) return parse_keys(reader, full, group);
  group.base = reference + bits(reader.signed_varint());
  reference = group.base;
  if (code == kRunsCode) return parse_runs(reader, bytes, group);
  if (code < kDeltaCode) {
    group.width = code - kRangeCode;
    parse_range(reader, full, group);
  } else {
    group.coding = code < kLineCode ? GroupCoding::kDelta : GroupCoding::kLine;
    group.width = code - (code < kLineCode ? kDeltaCode : kLineCode);
    parse_steps(reader, full, group);
  }
  return {};
}

void decode_runs(const Group& group, std::uint64_t* out) {
  // Bounds were checked when the header was parsed; `width` runs end before the group does.
  io::ByteReader reader(std::string_view(group.payload, group.step));
  std::uint64_t value = group.base;
  std::uint64_t* const end = out + group.count;
  for (unsigned i = 0; i < group.width; ++i) {
    const auto length = reader.fixed<std::uint8_t>();
    out = std::fill_n(out, length, value);
    value += bits(reader.signed_varint());
  }
  std::fill(out, end, value);
}

}  // namespace

std::string_view parse_groups(std::string_view bytes, std::uint64_t count, bool statistics,
                              std::vector<Group>& groups) {
  groups.clear();
  io::ByteReader reader(bytes);
  std::uint64_t reference = 0;
  // Every header takes two bytes or more, so damage cannot make this allocate much.
  if ((count + kGroupSize - 1) / kGroupSize > bytes.size())
    return "shorter than its groups' headers";
  for (std::uint64_t left = count; left > 0;) {
    Group group;
    group.count = static_cast<std::uint8_t>(std::min<std::uint64_t>(left, kGroupSize));
    left -= group.count;
    const std::string_view problem =
        parse_header(reader, bytes, statistics && group.count == kGroupSize, reference, group);
    if (!problem.empty()) return problem;
    groups.push_back(group);
  }
  for (Group& group : groups) {
    if (group.coding == GroupCoding::kRuns) continue;
    group.payload = reader.bytes(packed_size(group.count, group.width)).data();
  }
  if (!reader.ok()) return "ends inside its groups";
  if (reader.remaining() != 0) return "has bytes after its last group";
  return {};
}

void decode_group(const Group& group, std::uint64_t* out) {
  switch (group.coding) {
    case GroupCoding::kRange:
    case GroupCoding::kKeys:
      unpack(group.payload, group.count, group.width, group.base, out);
      return;
    case GroupCoding::kDelta: {
      unpack(group.payload, group.count, group.width, group.step, out);
      std::uint64_t value = group.base;
      out[0] = value;
      for (std::size_t i = 1; i < group.count; ++i) out[i] = value += out[i];
      return;
    }
    case GroupCoding::kLine:
      unpack(group.payload, group.count, group.width, group.base, out);
      for (std::uint64_t i = 1, line = group.step; i < group.count; ++i, line += group.step) {
        out[i] += line;
      }
      return;
    case GroupCoding::kRuns:
      decode_runs(group, out);
      return;
  }
}

std::uint64_t first_value(const Group& group) {
  if (group.width == 0 || group.coding == GroupCoding::kDelta ||
      group.coding == GroupCoding::kRuns) {
    return group.base;
  }
  // Both layouts of a packed block begin with the first value's bits.
  std::uint64_t packed = 0;
  std::memcpy(&packed, group.payload, std::min<std::size_t>(8, (group.width + 7U) / 8));
  return group.base + (packed & (~std::uint64_t{0} >> (64 - group.width)));
}

bool statistics_hold(const Group& group) {
  if (!group.has_statistics) return true;
  std::uint64_t values[kGroupSize];
  decode_group(group, values);
  if (group.coding == GroupCoding::kKeys) {
    double sum = 0;
    for (std::size_t i = 0; i < group.count; ++i) sum += key_to_double(values[i]);
    const auto [min, max] = std::minmax_element(values, values + group.count);
    return *min == group.base && *max - *min == group.above &&
           std::bit_cast<std::uint64_t>(sum) == group.sum;
  }
  std::uint64_t sum = 0;
  auto min = static_cast<std::int64_t>(values[0]);
  std::int64_t max = min;
  for (std::size_t i = 0; i < group.count; ++i) {
    sum += values[i] - group.base;
    min = std::min(min, static_cast<std::int64_t>(values[i]));
    max = std::max(max, static_cast<std::int64_t>(values[i]));
  }
  return sum == group.sum && bits(min) == group.base - group.below &&
         bits(max) == group.base + group.above;
}

}  // namespace gpu_telemetry::storage::embedded
