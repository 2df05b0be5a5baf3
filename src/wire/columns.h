// Columns of numbers as the wire carries them (docs/formats/wire.md, "Columns").
//
// A column's length is not stored: both ends know it from what came before. A column of no numbers
// takes no bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/bytes.h"

namespace gpu_telemetry::wire {

// The first byte of a column: the kind in the low four bits, the decimal exponent in the high four.
enum class ColumnKind : std::uint8_t {
  kConstant = 0,    // one number
  kPacked = 1,      // frame of reference: a minimum, a width, offsets of that width
  kDictionary = 2,  // few distinct numbers: packed, then a packed index for each entry
  kDelta = 3,       // the first number, then packed differences
  kRaw = 4,         // eight bytes each
};

inline constexpr int kMaxPackedWidth = 56;  // an unaligned 8-byte load reaches any of them
inline constexpr std::size_t kMaxDictionarySize = 256;
inline constexpr int kMaxExponent = 15;

// Memory that encoding and decoding columns reuse.
struct ColumnScratch {
  std::vector<std::int64_t> integers;
  std::vector<std::uint64_t> offsets;
  std::vector<std::int64_t> distinct;
};

// Appends the smallest of the kinds. Any integers.
void append_integers(std::string& out, std::span<const std::int64_t> values,
                     ColumnScratch& scratch);
// Fills `out`. False when the bytes are no column of that length (the reader may then be anywhere).
[[nodiscard]] bool read_integers(io::ByteReader& reader, std::span<std::int64_t> out,
                                 ColumnScratch& scratch);

// The same for finite doubles, which come back bit for bit: as integers scaled by a power of ten
// where that is exact, raw where it is not. read_doubles accepts no infinity and no NaN.
void append_doubles(std::string& out, std::span<const double> values, ColumnScratch& scratch);
[[nodiscard]] bool read_doubles(io::ByteReader& reader, std::span<double> out,
                                ColumnScratch& scratch);

}  // namespace gpu_telemetry::wire
