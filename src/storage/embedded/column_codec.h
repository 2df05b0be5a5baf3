// The values of one column as bytes: doubles that are decimal numbers become integers, scaled by a
// power of ten that the column shares; groups in which one is not keep raw doubles, bit for bit.
// docs/formats/store.md, "Columns", has the bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/bytes.h"
#include "storage/embedded/group_codec.h"
#include "storage/embedded/integer_scaling.h"

namespace gpu_telemetry::storage::embedded {

// A value that a whole column has. Lies in the index and takes no data.
struct ConstantValue {
  bool scaled = false;
  std::uint8_t exponent = 0;  // when scaled: value is integer / 10^exponent
  std::int64_t integer = 0;
  double value = 0;
};
ConstantValue make_constant(double value);

// Finds the representation of columns and encodes them. Reused, it allocates nothing.
class ColumnEncoder {
 public:
  // Appends the column's bytes to `out`. False when a value is not finite (`out` is as before).
  bool encode(std::span<const double> values, std::string& out);

 private:
  unsigned scale(std::span<const double> values);

  std::vector<std::int64_t> integers_;
  std::vector<std::uint8_t> scaled_;  // of each group: whether all its values are integers
  GroupEncoder groups_{true};
};

// A column's bytes, understood but not decoded. Points into them.
struct EncodedColumn {
  std::uint8_t exponent = 0;
  bool has_doubles = false;  // some group is kKeys
  std::uint64_t unit = 1;    // what the groups' integers are multiples of
  std::vector<Group> groups;
};

// Returns what is wrong with the bytes, or an empty view; `column` is then unspecified.
std::string_view parse_column(std::string_view bytes, std::uint64_t count, EncodedColumn& column);

// Writes the values with the indexes [begin, end) to `out`.
void decode_values(const EncodedColumn& column, std::uint64_t begin, std::uint64_t end,
                   double* out);

// Writes the integers of a group of a column without doubles: the values times 10^exponent.
void decode_group_integers(const EncodedColumn& column, const Group& group, std::int64_t* out);

// Writes the values of one group, count of them.
void decode_group_values(const EncodedColumn& column, const Group& group, double* out);

}  // namespace gpu_telemetry::storage::embedded
