#include "storage/embedded/bit_packing.h"

#include <array>
#include <cstring>
#include <utility>

namespace gpu_telemetry::storage::embedded {
namespace {

// `width` bits of a Word per value; as many rows as a Word has bits.
template <class Word, unsigned width>
struct TransposedBlock {
  static constexpr unsigned kBits = 8 * sizeof(Word);
  static constexpr std::size_t kLanes = 16 / sizeof(Word);
  static constexpr Word kMask = static_cast<Word>(~std::uint64_t{0} >> (64 - width));
  typedef Word Row __attribute__((vector_size(16)));

  static Row load(const char* in, std::size_t row) {
    Row value;
    std::memcpy(&value, in + row * sizeof(Row), sizeof(Row));
    return value;
  }

  template <std::size_t row>
  static void unpack_row(const char* in, Word* out) {
    constexpr std::size_t word = row * width / kBits;
    constexpr unsigned shift = row * width % kBits;
    Row value = load(in, word) >> shift;
    if constexpr (shift + width > kBits) value |= load(in, word + 1) << (kBits - shift);
    if constexpr (width < kBits) value &= kMask;
    std::memcpy(out + row * kLanes, &value, sizeof(Row));
  }

  template <std::size_t row>
  static void pack_row(const Word* in, Row* rows) {
    constexpr std::size_t word = row * width / kBits;
    constexpr unsigned shift = row * width % kBits;
    Row value;
    std::memcpy(&value, in + row * kLanes, sizeof(Row));
    if constexpr (shift == 0) {
      rows[word] = value;
    } else {
      rows[word] |= value << shift;
      if constexpr (shift + width > kBits) rows[word + 1] = value >> (kBits - shift);
    }
  }

  static void unpack(const char* in, std::uint64_t offset, std::uint64_t* out) {
    Word words[kGroupSize];
    [&]<std::size_t... row>(std::index_sequence<row...>) {
      (unpack_row<row>(in, words), ...);
    }(std::make_index_sequence<kBits>{});
    for (std::size_t i = 0; i < kGroupSize; ++i) out[i] = words[i] + offset;
  }

  static void unpack_narrow(const char* in, std::uint32_t offset, std::int32_t* out) {
    Word words[kGroupSize];
    [&]<std::size_t... row>(std::index_sequence<row...>) {
      (unpack_row<row>(in, words), ...);
    }(std::make_index_sequence<kBits>{});
    for (std::size_t i = 0; i < kGroupSize; ++i) {
      out[i] = static_cast<std::int32_t>(words[i] + offset);
    }
  }

  static void pack(const std::uint64_t* in, char* out) {
    Word words[kGroupSize];
    for (std::size_t i = 0; i < kGroupSize; ++i) words[i] = static_cast<Word>(in[i]);
    Row rows[width];
    [&]<std::size_t... row>(std::index_sequence<row...>) {
      (pack_row<row>(words, rows), ...);
    }(std::make_index_sequence<kBits>{});
    std::memcpy(out, rows, sizeof rows);
  }
};

template <unsigned width>
using Block = TransposedBlock<
    std::conditional_t<width <= 16, std::uint16_t,
                       std::conditional_t<width <= 32, std::uint32_t, std::uint64_t>>,
    width>;

using UnpackFunction = void (*)(const char*, std::uint64_t, std::uint64_t*);
using UnpackNarrowFunction = void (*)(const char*, std::uint32_t, std::int32_t*);
using PackFunction = void (*)(const std::uint64_t*, char*);

template <std::size_t... index>
constexpr std::array<UnpackFunction, 64> unpack_functions(std::index_sequence<index...>) {
  return {&Block<index + 1>::unpack...};
}
template <std::size_t... index>
constexpr std::array<UnpackNarrowFunction, 31> unpack_narrow_functions(
    std::index_sequence<index...>) {
  return {&Block<index + 1>::unpack_narrow...};
}
template <std::size_t... index>
constexpr std::array<PackFunction, 64> pack_functions(std::index_sequence<index...>) {
  return {&Block<index + 1>::pack...};
}
constexpr auto kUnpack = unpack_functions(std::make_index_sequence<64>{});
constexpr auto kUnpackNarrow = unpack_narrow_functions(std::make_index_sequence<31>{});
constexpr auto kPack = pack_functions(std::make_index_sequence<64>{});

void pack_stream(const std::uint64_t* values, std::size_t count, unsigned width, char* out) {
  std::uint64_t pending = 0;
  unsigned pending_bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    pending |= values[i] << pending_bits;
    pending_bits += width;
    if (pending_bits >= 64) {
      std::memcpy(out, &pending, 8);
      out += 8;
      pending_bits -= 64;
      // What of this value did not fit. A shift by 64 is not defined.
      pending = pending_bits == 0 ? 0 : values[i] >> (width - pending_bits);
    }
  }
  std::memcpy(out, &pending, (pending_bits + 7) / 8);
}

void unpack_stream(const char* in, std::size_t count, unsigned width, std::uint64_t offset,
                   std::uint64_t* out) {
  // A copy with room behind it, so that every value can be read with one or two whole words.
  char padded[kGroupSize * 8 + 16];
  const std::size_t size = packed_size(count, width);
  std::memcpy(padded, in, size);
  std::memset(padded + size, 0, 16);
  const std::uint64_t mask = ~std::uint64_t{0} >> (64 - width);
  if (width <= 57) {
    std::size_t bit = 0;
    for (std::size_t i = 0; i < count; ++i, bit += width) {
      std::uint64_t word;
      std::memcpy(&word, padded + bit / 8, 8);
      out[i] = ((word >> (bit % 8)) & mask) + offset;
    }
    return;
  }
  std::size_t bit = 0;
  for (std::size_t i = 0; i < count; ++i, bit += width) {
    std::uint64_t word;
    std::memcpy(&word, padded + bit / 8, 8);
    const auto next = static_cast<std::uint8_t>(padded[bit / 8 + 8]);
    const unsigned shift = bit % 8;
    word >>= shift;
    if (shift != 0) word |= std::uint64_t{next} << (64 - shift);
    out[i] = (word & mask) + offset;
  }
}

}  // namespace

void pack(const std::uint64_t* values, std::size_t count, unsigned width, std::string& out) {
  if (width == 0) return;
  const std::size_t at = out.size();
  out.resize(at + packed_size(count, width));
  if (count == kGroupSize) {
    kPack[width - 1](values, out.data() + at);
  } else {
    pack_stream(values, count, width, out.data() + at);
  }
}

void unpack(const char* in, std::size_t count, unsigned width, std::uint64_t offset,
            std::uint64_t* out) {
  if (width == 0) {
    for (std::size_t i = 0; i < count; ++i) out[i] = offset;
  } else if (count == kGroupSize) {
    kUnpack[width - 1](in, offset, out);
  } else {
    unpack_stream(in, count, width, offset, out);
  }
}

void unpack_narrow(const char* in, unsigned width, std::uint32_t offset, std::int32_t* out) {
  if (width == 0) {
    for (std::size_t i = 0; i < kGroupSize; ++i) out[i] = static_cast<std::int32_t>(offset);
  } else {
    kUnpackNarrow[width - 1](in, offset, out);
  }
}

}  // namespace gpu_telemetry::storage::embedded
