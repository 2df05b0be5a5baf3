#include "storage/embedded/column_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::int64_t kIntegerPowers[] = {1,
                                           10,
                                           100,
                                           1000,
                                           10'000,
                                           100'000,
                                           1'000'000,
                                           10'000'000,
                                           100'000'000,
                                           1'000'000'000,
                                           10'000'000'000,
                                           100'000'000'000,
                                           1'000'000'000'000};
static_assert(std::size(kIntegerPowers) == kMaxExponent + 1);

// Below it a scaled integer is exact as a double, and rounding value * 10^exponent finds it.
constexpr double kLargestScaled = 2251799813685248.0;      // 2^51
constexpr double kLargestInteger = 9223372036854775808.0;  // 2^63

constexpr std::uint8_t kExponentMask = 0x0f;
constexpr std::uint8_t kHasUnit = 0x10;

// Whether `value` is integer / 10^exponent to the last bit (which -0.0 is not).
inline bool scale_value(double value, unsigned exponent, std::int64_t& integer) {
  if (exponent == 0) {
    if (!(value >= -kLargestInteger && value < kLargestInteger)) return false;
    integer = static_cast<std::int64_t>(value);
    return std::bit_cast<std::uint64_t>(static_cast<double>(integer)) ==
           std::bit_cast<std::uint64_t>(value);
  }
  const double scaled = value * power_of_ten(exponent);
  if (!(std::fabs(scaled) < kLargestScaled)) return false;
  integer = std::llrint(scaled);
  return std::bit_cast<std::uint64_t>(static_cast<double>(integer) / power_of_ten(exponent)) ==
         std::bit_cast<std::uint64_t>(value);
}

bool all_finite(std::span<const double> values) {
  for (const double value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

}  // namespace

ConstantValue make_constant(double value) {
  ConstantValue constant;
  constant.value = value;
  for (unsigned exponent = 0; exponent <= kMaxExponent; ++exponent) {
    if (scale_value(value, exponent, constant.integer)) {
      constant.scaled = true;
      constant.exponent = static_cast<std::uint8_t>(exponent);
      break;
    }
  }
  return constant;
}

// Fills integers_ and scaled_ and returns the exponent: the smallest that makes integers of every
// value of which any exponent does.
unsigned ColumnEncoder::scale(std::span<const double> values) {
  unsigned exponent = 0;
  integers_.resize(values.size());
  scaled_.clear();
  for (std::size_t begin = 0; begin < values.size(); begin += kGroupSize) {
    const std::size_t end = std::min(begin + kGroupSize, values.size());
    bool scaled = true;
    for (std::size_t i = begin; i < end; ++i) {
      if (scale_value(values[i], exponent, integers_[i])) continue;
      unsigned higher = exponent + 1;
      while (higher <= kMaxExponent && !scale_value(values[i], higher, integers_[i])) ++higher;
      if (higher > kMaxExponent) {
        scaled = false;
        break;
      }
      // What was an integer before is one still: the same fraction, expanded.
      const std::int64_t factor = kIntegerPowers[higher - exponent];
      const std::int64_t limit = static_cast<std::int64_t>(kLargestScaled) / factor;
      for (std::size_t group = 0; group < scaled_.size(); ++group) {
        for (std::size_t k = group * kGroupSize; scaled_[group] && k < (group + 1) * kGroupSize;
             ++k) {
          if (integers_[k] > limit || integers_[k] < -limit) {
            scaled_[group] = 0;
          } else {
            integers_[k] *= factor;
          }
        }
      }
      exponent = higher;
      i = begin - 1;  // this group again
    }
    scaled_.push_back(scaled);
  }
  return exponent;
}

bool ColumnEncoder::encode(std::span<const double> values, std::string& out) {
  const unsigned exponent = scale(values);
  std::uint64_t unit = 0;
  for (std::size_t group = 0; group < scaled_.size() && unit != 1; ++group) {
    const std::size_t begin = group * kGroupSize;
    const std::size_t end = std::min(begin + kGroupSize, values.size());
    if (!scaled_[group]) {
      if (!all_finite(values.subspan(begin, end - begin))) return false;
      continue;
    }
    for (std::size_t i = begin; i < end && unit != 1; ++i) {
      const std::int64_t integer = integers_[i];
      const std::uint64_t size = integer < 0 ? 0 - static_cast<std::uint64_t>(integer)
                                             : static_cast<std::uint64_t>(integer);
      if (unit == 0 || size % unit != 0) unit = std::gcd(unit, size);
    }
  }
  if (unit > 1) {
    for (std::size_t group = 0; group < scaled_.size(); ++group) {
      const std::size_t begin = group * kGroupSize;
      const std::size_t end = std::min(begin + kGroupSize, values.size());
      for (std::size_t i = begin; scaled_[group] && i < end; ++i) {
        // A unit of 2^63 has one multiple besides zero, itself negative: the cast would be wrong.
        integers_[i] /= static_cast<std::int64_t>(unit);
      }
    }
  }
  groups_.clear();
  for (std::size_t group = 0; group < scaled_.size(); ++group) {
    const std::size_t begin = group * kGroupSize;
    const std::size_t size = std::min(kGroupSize, values.size() - begin);
    if (scaled_[group]) {
      groups_.add(std::span(integers_).subspan(begin, size));
    } else {
      groups_.add_doubles(values.subspan(begin, size));
    }
  }
  out.push_back(static_cast<char>(exponent | (unit > 1 ? kHasUnit : 0)));
  if (unit > 1) io::append_varint(out, unit);
  groups_.append_to(out);
  return true;
}

std::string_view parse_column(std::string_view bytes, std::uint64_t count, EncodedColumn& column) {
  io::ByteReader reader(bytes);
  const auto flags = reader.fixed<std::uint8_t>();
  column.exponent = flags & kExponentMask;
  if (column.exponent > kMaxExponent) return "decimal exponent out of range";
  if ((flags & ~(kExponentMask | kHasUnit)) != 0) return "unknown flags";
  column.unit = (flags & kHasUnit) != 0 ? reader.varint() : 1;
  if (!reader.ok()) return "ends inside its header";
  const std::string_view problem =
      parse_groups(bytes.substr(reader.offset()), count, true, column.groups);
  if (!problem.empty()) return problem;
  column.has_doubles = std::ranges::any_of(
      column.groups, [](const Group& group) { return group.coding == GroupCoding::kKeys; });
  return {};
}

void decode_group_integers(const EncodedColumn& column, const Group& group, std::int64_t* out) {
  // Signed and unsigned integers of a size may name the same memory.
  auto* const integers = reinterpret_cast<std::uint64_t*>(out);
  decode_group(group, integers);
  if (column.unit == 1) return;
  for (std::size_t i = 0; i < group.count; ++i) integers[i] *= column.unit;
}

void decode_group_values(const EncodedColumn& column, const Group& group, double* out) {
  if (group.coding == GroupCoding::kKeys) {
    std::uint64_t keys[kGroupSize];
    decode_group(group, keys);
    for (std::size_t i = 0; i < group.count; ++i) out[i] = key_to_double(keys[i]);
    return;
  }
  std::int64_t integers[kGroupSize];
  decode_group_integers(column, group, integers);
  scale_integers(integers, group.count, column.exponent, out);
}

void decode_values(const EncodedColumn& column, std::uint64_t begin, std::uint64_t end,
                   double* out) {
  while (begin < end) {
    const Group& group = column.groups[begin / kGroupSize];
    const std::uint64_t from = begin % kGroupSize;
    const std::uint64_t size = std::min<std::uint64_t>(group.count - from, end - begin);
    if (size == group.count) {
      decode_group_values(column, group, out);
    } else {
      double values[kGroupSize];
      decode_group_values(column, group, values);
      std::copy_n(values + from, size, out);
    }
    out += size;
    begin += size;
  }
}

}  // namespace gpu_telemetry::storage::embedded
