#include "wire/columns.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace gpu_telemetry::wire {
namespace {

constexpr std::array<double, kMaxExponent + 1> kPowersOfTen = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

constexpr std::size_t packed_size(std::size_t count, int width) {
  return (count * static_cast<std::size_t>(width) + 7) / 8;
}

constexpr std::uint64_t difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
}

constexpr std::int64_t sum(std::int64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + b);
}

void append_header(std::string& out, ColumnKind kind, int exponent) {
  out.push_back(static_cast<char>(static_cast<int>(kind) | (exponent << 4)));
}

void append_signed(std::string& out, std::int64_t value) {
  io::append_varint(out, io::zigzag(value));
}

// Appends `width` bits of each number, the lowest bit of the first number first.
template <class OffsetAt>
void append_packed(std::string& out, std::size_t count, int width, OffsetAt offset_at) {
  const std::size_t start = out.size();
  const std::size_t size = packed_size(count, width);
  out.resize(start + size + 8);  // whole words are stored; what is too much is cut off below
  char* to = out.data() + start;
  std::uint64_t word = 0;
  int used = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t offset = offset_at(i);
    word |= offset << used;
    used += width;
    if (used >= 64) {
      std::memcpy(to, &word, 8);
      to += 8;
      used -= 64;
      word = used == 0 ? 0 : offset >> (width - used);
    }
  }
  if (used != 0) std::memcpy(to, &word, 8);
  out.resize(start + size);
}

// The opposite. `take(i, offset)` is called for each number in order. Width at most
// kMaxPackedWidth.
template <class Take>
bool read_packed(io::ByteReader& reader, std::size_t count, int width, Take take) {
  const std::string_view bytes = reader.bytes(packed_size(count, width));
  if (!reader.ok()) return false;
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  // As long as eight bytes can be loaded without passing the end of these bytes:
  const std::size_t fast =
      bytes.size() < 8
          ? 0
          : std::min(count, ((bytes.size() - 8) * 8) / static_cast<std::size_t>(width) + 1);
  std::size_t bit = 0;
  std::size_t i = 0;
  for (; i < fast; ++i, bit += static_cast<std::size_t>(width)) {
    take(i, (io::load_fixed<std::uint64_t>(bytes.data() + bit / 8) >> (bit % 8)) & mask);
  }
  for (; i < count; ++i, bit += static_cast<std::size_t>(width)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + bit / 8, std::min<std::size_t>(8, bytes.size() - bit / 8));
    take(i, (word >> (bit % 8)) & mask);
  }
  return true;
}

struct Range {
  std::int64_t low;
  std::int64_t high;
  int width() const { return std::bit_width(difference(high, low)); }
};

Range range_of(std::span<const std::int64_t> values) {
  Range range{values[0], values[0]};
  for (const std::int64_t value : values) {
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

void append_frame(std::string& out, std::span<const std::int64_t> values, const Range& range) {
  const int width = range.width();
  append_signed(out, range.low);
  out.push_back(static_cast<char>(width));
  append_packed(out, values.size(), width,
                [&](std::size_t i) { return difference(values[i], range.low); });
}

bool read_width(io::ByteReader& reader, int& width) {
  width = reader.fixed<std::uint8_t>();
  return reader.ok() && width <= kMaxPackedWidth;
}

bool read_frame(io::ByteReader& reader, std::span<std::int64_t> out) {
  const std::int64_t low = reader.signed_varint();
  int width;
  if (!read_width(reader, width)) return false;
  if (width == 0) {
    std::fill(out.begin(), out.end(), low);
    return true;
  }
  return read_packed(reader, out.size(), width,
                     [&](std::size_t i, std::uint64_t offset) { out[i] = sum(low, offset); });
}

// A set of at most kMaxDictionarySize numbers, each with the place at which it came in.
class Distinct {
 public:
  explicit Distinct(std::vector<std::int64_t>& values) : values_(values) {
    values_.clear();
    slots_.fill(kFree);
  }

  // The number's place; kFree when there is no room for another.
  std::uint16_t place_of(std::int64_t value, std::size_t limit) {
    std::size_t slot = (static_cast<std::uint64_t>(value) * 0x9E3779B97F4A7C15ULL) >> 54;
    while (slots_[slot] != kFree) {
      if (values_[slots_[slot]] == value) return slots_[slot];
      slot = (slot + 1) % slots_.size();
    }
    if (values_.size() == limit) return kFree;
    slots_[slot] = static_cast<std::uint16_t>(values_.size());
    values_.push_back(value);
    return slots_[slot];
  }

  static constexpr std::uint16_t kFree = 0xffff;

 private:
  std::vector<std::int64_t>& values_;
  std::array<std::uint16_t, 1024> slots_;
};

// Appends the column as a dictionary if that takes less than `best` bits.
bool append_dictionary(std::string& out, std::span<const std::int64_t> values, int exponent,
                       const Range& range, std::size_t best, ColumnScratch& scratch) {
  const auto width = static_cast<std::size_t>(range.width());
  // So many entries that, were they all, the dictionary would just not pay.
  std::size_t limit = 1;
  while (limit < kMaxDictionarySize &&
         (limit + 1) * width + values.size() * static_cast<std::size_t>(std::bit_width(limit)) +
                 16 <
             best) {
    ++limit;
  }
  if (limit < 2) return false;
  Distinct distinct(scratch.distinct);
  scratch.offsets.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t place = distinct.place_of(values[i], limit);
    if (place == Distinct::kFree) return false;
    scratch.offsets[i] = place;
  }
  append_header(out, ColumnKind::kDictionary, exponent);
  io::append_varint(out, scratch.distinct.size());
  append_frame(out, scratch.distinct, range);
  append_packed(out, values.size(), std::bit_width(scratch.distinct.size() - 1),
                [&](std::size_t i) { return scratch.offsets[i]; });
  return true;
}

bool read_dictionary(io::ByteReader& reader, std::span<std::int64_t> out, ColumnScratch& scratch) {
  const std::uint64_t size = reader.varint();
  if (!reader.ok() || size < 2 || size > kMaxDictionarySize) return false;
  scratch.distinct.assign(kMaxDictionarySize, 0);
  if (!read_frame(reader, std::span(scratch.distinct).first(size))) return false;
  std::uint64_t largest = 0;
  const bool read = read_packed(reader, out.size(), std::bit_width(size - 1),
                                [&](std::size_t i, std::uint64_t place) {
                                  largest = std::max(largest, place);
                                  out[i] = scratch.distinct[place];
                                });
  return read && largest < size;
}

void append_scaled(std::string& out, std::span<const std::int64_t> values, int exponent,
                   bool may_be_delta, ColumnScratch& scratch) {
  const Range range = range_of(values);
  if (range.low == range.high) {
    append_header(out, ColumnKind::kConstant, exponent);
    append_signed(out, range.low);
    return;
  }
  const int width = range.width();
  std::size_t best = values.size() * static_cast<std::size_t>(width > kMaxPackedWidth ? 64 : width);

  Range step{INT64_MAX, INT64_MIN};
  if (may_be_delta) {
    for (std::size_t i = 1; i < values.size(); ++i) {
      const auto delta = static_cast<std::int64_t>(difference(values[i], values[i - 1]));
      step.low = std::min(step.low, delta);
      step.high = std::max(step.high, delta);
    }
    may_be_delta = step.width() < width && step.width() <= kMaxPackedWidth;
    if (may_be_delta) best = values.size() * static_cast<std::size_t>(step.width());
  }
  if (width >= 3 && width <= kMaxPackedWidth &&
      append_dictionary(out, values, exponent, range, best, scratch)) {
    return;
  }
  if (may_be_delta) {
    append_header(out, ColumnKind::kDelta, exponent);
    append_signed(out, values[0]);
    append_signed(out, step.low);
    out.push_back(static_cast<char>(step.width()));
    if (step.width() == 0) return;
    append_packed(out, values.size() - 1, step.width(), [&](std::size_t i) {
      return difference(values[i + 1], values[i]) - static_cast<std::uint64_t>(step.low);
    });
  } else if (width <= kMaxPackedWidth) {
    append_header(out, ColumnKind::kPacked, exponent);
    append_frame(out, values, range);
  } else {
    append_header(out, ColumnKind::kRaw, 0);
    out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
}

bool read_delta(io::ByteReader& reader, std::span<std::int64_t> out) {
  out[0] = reader.signed_varint();
  if (!read_frame(reader, out.subspan(1))) return false;
  for (std::size_t i = 1; i < out.size(); ++i) {
    out[i] = sum(out[i - 1], static_cast<std::uint64_t>(out[i]));
  }
  return true;
}

// All kinds but raw, whose bytes mean something else in each sort of column.
bool read_scaled(io::ByteReader& reader, ColumnKind kind, std::span<std::int64_t> out,
                 ColumnScratch& scratch) {
  switch (kind) {
    case ColumnKind::kConstant:
      std::fill(out.begin(), out.end(), reader.signed_varint());
      return reader.ok();
    case ColumnKind::kPacked:
      return read_frame(reader, out);
    case ColumnKind::kDictionary:
      return read_dictionary(reader, out, scratch);
    case ColumnKind::kDelta:
      return read_delta(reader, out);
    case ColumnKind::kRaw:
      break;
  }
  return false;
}

// Adding this to a number of less than 2^51 rounds it to an integer, which then stands in the low
// bits of the sum: a conversion that needs nothing newer than SSE2.
constexpr double kRounder = 6755399441055744.0;       // 1.5 * 2^52
constexpr double kRounderLimit = 2251799813685248.0;  // 2^51

inline bool scale_exactly(double value, double power, std::int64_t& out) {
  const double scaled = value * power;
  const double shifted = scaled + kRounder;
  out = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(shifted) -
                                  std::bit_cast<std::uint64_t>(kRounder));
  const double back = (shifted - kRounder) / power;
  return (std::bit_cast<std::uint64_t>(back) == std::bit_cast<std::uint64_t>(value)) &&
         (std::fabs(scaled) < kRounderLimit);
}

// How many of the values, from the first on, are exactly an integer divided by 10^exponent.
std::size_t scale_all(std::span<const double> values, int exponent, std::int64_t* out) {
  const double power = kPowersOfTen[static_cast<std::size_t>(exponent)];
  std::size_t i = 0;
  if (exponent == 0) {  // without the division
    for (; i < values.size(); ++i) {
      const double shifted = values[i] + kRounder;
      out[i] = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(shifted) -
                                         std::bit_cast<std::uint64_t>(kRounder));
      if ((std::bit_cast<std::uint64_t>(shifted - kRounder) !=
           std::bit_cast<std::uint64_t>(values[i])) ||
          !(std::fabs(values[i]) < kRounderLimit)) {
        return i;
      }
    }
    return i;
  }
  for (; i < values.size(); ++i) {
    if (!scale_exactly(values[i], power, out[i])) return i;
  }
  return i;
}

// Counters of bytes and the like, past what scale_all can do.
bool all_large_integers(std::span<const double> values, std::int64_t* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(std::fabs(values[i]) < 4e18)) return false;
    out[i] = static_cast<std::int64_t>(values[i]);
    if (std::bit_cast<std::uint64_t>(static_cast<double>(out[i])) !=
        std::bit_cast<std::uint64_t>(values[i])) {
      return false;
    }
  }
  return true;
}

// The smallest exponent at which all values are exact, -1 when there is none.
int scale_column(std::span<const double> values, std::int64_t* out) {
  int exponent = 0;
  for (;;) {
    const std::size_t exact = scale_all(values, exponent, out);
    if (exact == values.size()) return exponent;
    std::int64_t ignored;
    do {
      if (++exponent > kMaxExponent) return all_large_integers(values, out) ? 0 : -1;
    } while (
        !scale_exactly(values[exact], kPowersOfTen[static_cast<std::size_t>(exponent)], ignored));
  }
}

}  // namespace

void append_integers(std::string& out, std::span<const std::int64_t> values,
                     ColumnScratch& scratch) {
  if (!values.empty()) append_scaled(out, values, 0, true, scratch);
}

bool read_integers(io::ByteReader& reader, std::span<std::int64_t> out, ColumnScratch& scratch) {
  if (out.empty()) return true;
  const auto header = reader.fixed<std::uint8_t>();
  if (!reader.ok() || header > static_cast<int>(ColumnKind::kRaw)) return false;
  const auto kind = static_cast<ColumnKind>(header);
  if (kind != ColumnKind::kRaw) return read_scaled(reader, kind, out, scratch) && reader.ok();
  const std::string_view raw = reader.bytes(out.size_bytes());
  if (!reader.ok()) return false;
  std::memcpy(out.data(), raw.data(), raw.size());
  return true;
}

void append_doubles(std::string& out, std::span<const double> values, ColumnScratch& scratch) {
  if (values.empty()) return;
  scratch.integers.resize(std::max(scratch.integers.size(), values.size()));
  const std::span<std::int64_t> integers = std::span(scratch.integers).first(values.size());
  const int exponent = scale_column(values, integers.data());
  if (exponent >= 0 && range_of(integers).width() <= kMaxPackedWidth) {
    append_scaled(out, integers, exponent, false, scratch);
    return;
  }
  append_header(out, ColumnKind::kRaw, 0);
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

bool read_doubles(io::ByteReader& reader, std::span<double> out, ColumnScratch& scratch) {
  if (out.empty()) return true;
  const auto header = reader.fixed<std::uint8_t>();
  const auto kind = static_cast<ColumnKind>(header & 0x0f);
  const int exponent = header >> 4;
  if (!reader.ok() || kind > ColumnKind::kRaw) return false;
  if (kind == ColumnKind::kRaw) {
    const std::string_view raw = reader.bytes(out.size_bytes());
    if (!reader.ok() || exponent != 0) return false;
    std::memcpy(out.data(), raw.data(), raw.size());
    return std::all_of(out.begin(), out.end(), [](double value) { return std::isfinite(value); });
  }
  scratch.integers.resize(std::max(scratch.integers.size(), out.size()));
  const std::span<std::int64_t> integers = std::span(scratch.integers).first(out.size());
  if (!read_scaled(reader, kind, integers, scratch) || !reader.ok()) return false;
  if (exponent == 0) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(integers[i]);
  } else {
    const double power = kPowersOfTen[static_cast<std::size_t>(exponent)];
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(integers[i]) / power;
  }
  return true;
}

}  // namespace gpu_telemetry::wire
