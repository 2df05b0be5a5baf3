#include <algorithm>
#include <bit>

#include "io/bytes.h"
#include "storage/embedded/group_codec.h"
#include "storage/embedded/group_layout.h"

namespace gpu_telemetry::storage::embedded {
namespace {

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

// How a group will be written.
struct Choice {
  GroupCoding coding = GroupCoding::kRange;
  unsigned width = 0;
  std::uint64_t base = 0;
  std::uint64_t step = 0;
};

// The coding that takes least. `full`: whether the group is to carry statistics.
Choice choose(std::span<const std::int64_t> values, Shape& shape, bool full) {
  const std::size_t count = values.size();
  const unsigned range_width = width_of(bits(shape.max) - bits(shape.min));
  Choice choice{GroupCoding::kRange, range_width, bits(shape.min), 0};
  if (range_width == 0 || range_width > kWidestWithStatistics) return choice;
  const std::size_t range_size = packed_size(count, range_width);
  std::size_t best = range_size;
  const std::uint64_t first = bits(values[0]);
  const unsigned delta_width = width_of(bits(shape.max_delta) - bits(shape.min_delta));
  const std::size_t delta_size =
      packed_size(count, delta_width) + varint_size(zigzag_bits(bits(shape.min_delta))) + full;
  if (delta_size < best) {
    best = delta_size;
    choice = {GroupCoding::kDelta, delta_width, first, bits(shape.min_delta)};
  }
  if (count > 2 && (shape.min_delta > 0 || shape.max_delta < 0)) {
    measure_line(values, shape);
    const unsigned line_width = width_of(bits(shape.max_residual) - bits(shape.min_residual));
    const std::size_t line_size =
        packed_size(count, line_width) + varint_size(zigzag_bits(shape.step)) + full;
    // On a tie the line wins: it decodes without adding up.
    if (line_size <= best && line_size < range_size) {
      best = line_size;
      choice = {GroupCoding::kLine, line_width, first + bits(shape.min_residual), shape.step};
    }
  }
  if (shape.runs <= kMostRuns && runs_size(values) < best) {
    choice = {GroupCoding::kRuns, 0, first, 0};
  }
  return choice;
}

std::uint8_t first_byte(const Choice& choice) {
  switch (choice.coding) {
    case GroupCoding::kRange:
      return static_cast<std::uint8_t>(kRangeCode + choice.width);
    case GroupCoding::kDelta:
      return static_cast<std::uint8_t>(kDeltaCode + choice.width);
    case GroupCoding::kLine:
      return static_cast<std::uint8_t>(kLineCode + choice.width);
    default:
      return kRunsCode;
  }
}

void append_runs(std::span<const std::int64_t> values, unsigned runs, std::string& out) {
  io::append_varint(out, runs - 1);
  std::size_t start = 0;
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (values[i] == values[i - 1]) continue;
    out.push_back(static_cast<char>(i - start));
    io::append_varint(out, zigzag_bits(bits(values[i]) - bits(values[i - 1])));
    start = i;
  }
}

// What is left of the values when base and step are taken off.
void subtract(std::span<const std::int64_t> values, const Choice& choice, std::uint64_t* out) {
  const std::size_t count = values.size();
  if (choice.coding == GroupCoding::kRange) {
    for (std::size_t i = 0; i < count; ++i) out[i] = bits(values[i]) - choice.base;
  } else if (choice.coding == GroupCoding::kDelta) {
    out[0] = 0;
    for (std::size_t i = 1; i < count; ++i) {
      out[i] = bits(values[i]) - bits(values[i - 1]) - choice.step;
    }
  } else {
    for (std::size_t i = 0; i < count; ++i)
      out[i] = bits(values[i]) - choice.base - i * choice.step;
  }
}

void append_statistics(std::span<const std::int64_t> values, const Shape& shape,
                       const Choice& choice, std::string& out) {
  std::uint64_t sum = 0;
  for (const std::int64_t value : values) sum += bits(value) - choice.base;
  if (choice.coding == GroupCoding::kRange) {
    io::append_varint(out, bits(shape.max) - bits(shape.min));
    io::append_varint(out, sum);
    return;
  }
  io::append_varint(out, zigzag_bits(choice.base - bits(shape.min)));
  io::append_varint(out, zigzag_bits(bits(shape.max) - choice.base));
  io::append_varint(out, zigzag_bits(sum));
}

}  // namespace

void GroupEncoder::clear() {
  reference_ = 0;
  headers_.clear();
  payload_.clear();
}

void GroupEncoder::add(std::span<const std::int64_t> values) {
  Shape shape = measure(values);
  const bool full = statistics_ && values.size() == kGroupSize;
  const Choice choice = choose(values, shape, full);
  headers_.push_back(static_cast<char>(first_byte(choice)));
  io::append_varint(headers_, zigzag_bits(choice.base - reference_));
  reference_ = choice.base;
  if (choice.coding == GroupCoding::kRuns) {
    append_runs(values, shape.runs, headers_);
    return;
  }
  if (choice.coding != GroupCoding::kRange) io::append_varint(headers_, zigzag_bits(choice.step));
  const unsigned range_width = width_of(bits(shape.max) - bits(shape.min));
  if (full && choice.width != 0 && range_width <= kWidestWithStatistics) {
    append_statistics(values, shape, choice, headers_);
  }
  std::uint64_t packed[kGroupSize];
  subtract(values, choice, packed);
  pack(packed, values.size(), choice.width, payload_);
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

}  // namespace gpu_telemetry::storage::embedded
