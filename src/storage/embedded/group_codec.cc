#include "storage/embedded/group_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/bytes.h"

namespace gpu_telemetry::storage::embedded {
namespace {

// The first byte of a group's header: its coding and, but for runs, the width of its packed values.
constexpr std::uint8_t kRangeCode = 0;
constexpr std::uint8_t kDeltaCode = 65;
constexpr std::uint8_t kLineCode = 130;
constexpr std::uint8_t kRunsCode = 195;
constexpr std::uint8_t kKeysCode = 196;  // the width is the next byte

// Groups that span more carry no statistics, so that sums of 128 fit an int64.
constexpr unsigned kWidestWithStatistics = 48;
constexpr unsigned kMostRuns = 24;

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }
std::uint64_t zigzag_bits(std::uint64_t value) {
  return io::zigzag(static_cast<std::int64_t>(value));
}
std::size_t varint_size(std::uint64_t value) {
  return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7;
}
unsigned width_of(std::uint64_t range) { return static_cast<unsigned>(std::bit_width(range)); }

// What choosing a coding needs to know of a group.
struct Shape {
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::int64_t min_delta = 0;
  std::int64_t max_delta = 0;
  unsigned runs = 1;
  std::uint64_t step = 0;  // of the line
  std::int64_t min_residual = 0;
  std::int64_t max_residual = 0;
};

Shape measure(std::span<const std::int64_t> values) {
  Shape shape;
  shape.min = shape.max = values[0];
  if (values.size() < 2) return shape;
  // Differences are taken modulo 2^64; they mean something only where the range is small enough for
  // delta and line to be considered at all.
  shape.min_delta = shape.max_delta = static_cast<std::int64_t>(bits(values[1]) - bits(values[0]));
  for (std::size_t i = 1; i < values.size(); ++i) {
    const auto delta = static_cast<std::int64_t>(bits(values[i]) - bits(values[i - 1]));
    shape.min = std::min(shape.min, values[i]);
    shape.max = std::max(shape.max, values[i]);
    shape.min_delta = std::min(shape.min_delta, delta);
    shape.max_delta = std::max(shape.max_delta, delta);
    shape.runs += delta != 0;
  }
  return shape;
}

// The line from the first to the last value, and how far values lie from it.
void measure_line(std::span<const std::int64_t> values, Shape& shape) {
  const auto steps = static_cast<std::int64_t>(values.size()) - 1;
  const std::int64_t step = (values.back() - values.front()) / steps;
  shape.step = bits(step);
  for (std::size_t i = 1; i < values.size(); ++i) {
    const std::int64_t residual = values[i] - values[0] - static_cast<std::int64_t>(i) * step;
    shape.min_residual = std::min(shape.min_residual, residual);
    shape.max_residual = std::max(shape.max_residual, residual);
  }
}

std::size_t runs_size(std::span<const std::int64_t> values) {
  std::size_t size = 1;
  for (std::size_t i = 1; i < values.size(); ++i) {
    const std::uint64_t delta = bits(values[i]) - bits(values[i - 1]);
    if (delta != 0) size += 1 + varint_size(zigzag_bits(delta));
  }
  return size;
}

}  // namespace

void GroupEncoder::clear() {
  reference_ = 0;
  headers_.clear();
  payload_.clear();
}

void GroupEncoder::add(std::span<const std::int64_t> values) {
  const std::size_t count = values.size();
  Shape shape = measure(values);
  const std::uint64_t range = bits(shape.max) - bits(shape.min);
  const unsigned range_width = width_of(range);
  const bool full = statistics_ && count == kGroupSize;

  GroupCoding coding = GroupCoding::kRange;
  unsigned width = range_width;
  std::uint64_t base = bits(shape.min);
  std::uint64_t step = 0;
  if (range_width != 0 && range_width <= kWidestWithStatistics) {
    std::size_t best = packed_size(count, range_width);
    const std::uint64_t first = bits(values[0]);
    const unsigned delta_width = width_of(bits(shape.max_delta) - bits(shape.min_delta));
    const std::size_t delta_size =
        packed_size(count, delta_width) + varint_size(zigzag_bits(bits(shape.min_delta))) + full;
    if (delta_size < best) {
      best = delta_size;
      coding = GroupCoding::kDelta;
      width = delta_width;
      base = first;
      step = bits(shape.min_delta);
    }
    if (count > 2 && (shape.min_delta > 0 || shape.max_delta < 0)) {
      measure_line(values, shape);
      const unsigned line_width = width_of(bits(shape.max_residual) - bits(shape.min_residual));
      const std::size_t line_size =
          packed_size(count, line_width) + varint_size(zigzag_bits(shape.step)) + full;
      // On a tie the line wins: it decodes without adding up.
      if (line_size <= best && line_size < packed_size(count, range_width)) {
        best = line_size;
        coding = GroupCoding::kLine;
        width = line_width;
        base = first + bits(shape.min_residual);
        step = shape.step;
      }
    }
    if (shape.runs <= kMostRuns && runs_size(values) < best) {
      coding = GroupCoding::kRuns;
      base = first;
    }
  }

  switch (coding) {
    case GroupCoding::kRange:
      headers_.push_back(static_cast<char>(kRangeCode + width));
      break;
    case GroupCoding::kDelta:
      headers_.push_back(static_cast<char>(kDeltaCode + width));
      break;
    case GroupCoding::kLine:
      headers_.push_back(static_cast<char>(kLineCode + width));
      break;
    default:
      headers_.push_back(static_cast<char>(kRunsCode));
      break;
  }
  io::append_varint(headers_, zigzag_bits(base - reference_));
  reference_ = base;

  std::uint64_t packed[kGroupSize];
  if (coding == GroupCoding::kRange) {
    for (std::size_t i = 0; i < count; ++i) packed[i] = bits(values[i]) - base;
  } else if (coding == GroupCoding::kDelta) {
    io::append_varint(headers_, zigzag_bits(step));
    packed[0] = 0;
    for (std::size_t i = 1; i < count; ++i) {
      packed[i] = bits(values[i]) - bits(values[i - 1]) - step;
    }
  } else if (coding == GroupCoding::kLine) {
    io::append_varint(headers_, zigzag_bits(step));
    for (std::size_t i = 0; i < count; ++i) packed[i] = bits(values[i]) - base - i * step;
  } else {
    io::append_varint(headers_, shape.runs - 1);
    std::size_t start = 0;
    for (std::size_t i = 1; i < count; ++i) {
      if (values[i] == values[i - 1]) continue;
      headers_.push_back(static_cast<char>(i - start));
      io::append_varint(headers_, zigzag_bits(bits(values[i]) - bits(values[i - 1])));
      start = i;
    }
    return;
  }
  if (full && width != 0 && range_width <= kWidestWithStatistics) {
    std::uint64_t sum = 0;
    for (const std::int64_t value : values) sum += bits(value) - base;
    if (coding == GroupCoding::kRange) {
      io::append_varint(headers_, range);
      io::append_varint(headers_, sum);
    } else {
      io::append_varint(headers_, zigzag_bits(base - bits(shape.min)));
      io::append_varint(headers_, zigzag_bits(bits(shape.max) - base));
      io::append_varint(headers_, zigzag_bits(sum));
    }
  }
  pack(packed, count, width, payload_);
}

void GroupEncoder::add_doubles(std::span<const double> values) {
  std::uint64_t keys[kGroupSize];
  std::uint64_t min = ~std::uint64_t{0};
  std::uint64_t max = 0;
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    keys[i] = double_to_key(values[i]);
    min = std::min(min, keys[i]);
    max = std::max(max, keys[i]);
    sum += values[i];
  }
  for (std::size_t i = 0; i < values.size(); ++i) keys[i] -= min;
  const unsigned width = width_of(max - min);
  headers_.push_back(static_cast<char>(kKeysCode));
  headers_.push_back(static_cast<char>(width));
  io::append_fixed(headers_, min);
  if (statistics_ && values.size() == kGroupSize) {
    io::append_varint(headers_, max - min);
    io::append_fixed(headers_, sum);
  }
  pack(keys, values.size(), width, payload_);
}

void GroupEncoder::append_to(std::string& out) const {
  out += headers_;
  out += payload_;
}

namespace {

// Reads one header; the payload is set for runs only. Returns what is wrong, or nothing.
// A group of runs keeps the number of changes in `width` and the payload's size in `step`.
std::string_view parse_header(io::ByteReader& reader, std::string_view bytes, bool full,
                              std::uint64_t& reference, Group& group) {
  const auto code = reader.fixed<std::uint8_t>();
  if (code > kKeysCode) return "unknown group coding";
  if (code == kKeysCode) {
    group.coding = GroupCoding::kKeys;
    group.width = reader.fixed<std::uint8_t>();
    if (group.width > 64) return "group width above 64 bits";
    group.base = reader.fixed<std::uint64_t>();
    if (full) {
      group.has_statistics = true;
      group.above = reader.varint();
      group.sum = reader.fixed<std::uint64_t>();
    }
    return {};
  }
  group.base = reference + bits(reader.signed_varint());
  reference = group.base;
  if (code < kDeltaCode) {
    group.coding = GroupCoding::kRange;
    group.width = code - kRangeCode;
    if (group.width == 0) {
      group.has_statistics = true;
    } else if (full && group.width <= kWidestWithStatistics) {
      group.has_statistics = true;
      group.above = reader.varint();
      group.sum = reader.varint();
    }
    return {};
  }
  if (code < kRunsCode) {
    group.coding = code < kLineCode ? GroupCoding::kDelta : GroupCoding::kLine;
    group.width = code - (code < kLineCode ? kDeltaCode : kLineCode);
    group.step = bits(reader.signed_varint());
    if (full && group.width != 0) {
      group.has_statistics = true;
      group.below = bits(reader.signed_varint());
      group.above = bits(reader.signed_varint());
      group.sum = bits(reader.signed_varint());
    }
    return {};
  }
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

std::uint64_t double_to_key(double value) {
  const auto raw = std::bit_cast<std::uint64_t>(value);
  // Negative numbers: all bits turned over; others: the sign bit.
  return raw ^ (static_cast<std::uint64_t>(static_cast<std::int64_t>(raw) >> 63) | (1ULL << 63));
}

double key_to_double(std::uint64_t key) {
  const std::uint64_t flip =
      static_cast<std::uint64_t>(static_cast<std::int64_t>(~key) >> 63) | (1ULL << 63);
  return std::bit_cast<double>(key ^ flip);
}

}  // namespace gpu_telemetry::storage::embedded
