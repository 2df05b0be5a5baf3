#include "sources/csv/csv_structure.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace gpu_telemetry::sources::csv {
namespace {

constexpr std::size_t kBlock = 64;
// Blocks classified before their bits are read: their masks stay in the first-level cache.
constexpr std::size_t kGroup = 32;

// Bit i is byte i of the block.
struct BlockMasks {
  std::uint64_t quotes;
  std::uint64_t inside;  // the parity of the quotes up to the byte itself
  std::uint64_t commas;
  std::uint64_t newlines;
};

// Bit i becomes the parity of bits 0 to i.
[[gnu::always_inline]] inline std::uint64_t prefix_parity(std::uint64_t bits) {
  bits ^= bits << 1;
  bits ^= bits << 2;
  bits ^= bits << 4;
  bits ^= bits << 8;
  bits ^= bits << 16;
  bits ^= bits << 32;
  return bits;
}

// Eight bytes to eight bits: which of them equal `pattern`'s.
std::uint64_t equal_bytes(std::uint64_t word, std::uint64_t pattern) {
  constexpr std::uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  const std::uint64_t difference = word ^ pattern;
  const std::uint64_t high_where_zero = ~(((difference & kLow7) + kLow7) | difference | kLow7);
  return ((high_where_zero >> 7) * 0x0102040810204080) >> 56;
}

void classify_portable(const char* text, std::size_t blocks, BlockMasks* out) {
  constexpr std::uint64_t kEveryByte = 0x0101010101010101;
  for (std::size_t b = 0; b < blocks; ++b, text += kBlock) {
    BlockMasks masks{};
    for (unsigned i = 0; i < kBlock; i += 8) {
      std::uint64_t word;
      std::memcpy(&word, text + i, sizeof word);
      masks.quotes |= equal_bytes(word, kEveryByte * '"') << i;
      masks.commas |= equal_bytes(word, kEveryByte * ',') << i;
      masks.newlines |= equal_bytes(word, kEveryByte * '\n') << i;
    }
    masks.inside = prefix_parity(masks.quotes);
    out[b] = masks;
  }
}

#if defined(__x86_64__)

void classify_sse2(const char* text, std::size_t blocks, BlockMasks* out) {
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i comma = _mm_set1_epi8(',');
  const __m128i newline = _mm_set1_epi8('\n');
  for (std::size_t b = 0; b < blocks; ++b, text += kBlock) {
    BlockMasks masks{};
    for (unsigned i = 0; i < kBlock; i += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + i));
      const auto bits = [bytes, i](__m128i wanted) {
        return static_cast<std::uint64_t>(
                   static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted))))
               << i;
      };
      masks.quotes |= bits(quote);
      masks.commas |= bits(comma);
      masks.newlines |= bits(newline);
    }
    masks.inside = prefix_parity(masks.quotes);
    out[b] = masks;
  }
}

// A carry-less product with all ones is a prefix sum of bits without carries.
__attribute__((target("pclmul"))) inline std::uint64_t prefix_parity_clmul(std::uint64_t bits) {
  const __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(bits)), _mm_set1_epi8(-1), 0);
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

__attribute__((target("avx2,pclmul"))) inline std::uint64_t equal_bits_avx2(__m256i low,
                                                                            __m256i high,
                                                                            __m256i wanted) {
  const auto low_bits =
      static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)));
  const auto high_bits =
      static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)));
  return low_bits | static_cast<std::uint64_t>(high_bits) << 32;
}

__attribute__((target("avx2,pclmul"))) void classify_avx2(const char* text, std::size_t blocks,
                                                          BlockMasks* out) {
  const __m256i quote = _mm256_set1_epi8('"');
  const __m256i comma = _mm256_set1_epi8(',');
  const __m256i newline = _mm256_set1_epi8('\n');
  for (std::size_t b = 0; b < blocks; ++b, text += kBlock) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 32));
    const std::uint64_t quotes = equal_bits_avx2(low, high, quote);
    out[b].quotes = quotes;
    out[b].inside = prefix_parity_clmul(quotes);
    out[b].commas = equal_bits_avx2(low, high, comma);
    out[b].newlines = equal_bits_avx2(low, high, newline);
  }
}

__attribute__((target("avx512f,avx512bw,pclmul"))) void classify_avx512(const char* text,
                                                                        std::size_t blocks,
                                                                        BlockMasks* out) {
  const __m512i quote = _mm512_set1_epi8('"');
  const __m512i comma = _mm512_set1_epi8(',');
  const __m512i newline = _mm512_set1_epi8('\n');
  for (std::size_t b = 0; b < blocks; ++b, text += kBlock) {
    const __m512i bytes = _mm512_loadu_si512(text);
    const std::uint64_t quotes = _mm512_cmpeq_epi8_mask(bytes, quote);
    out[b].quotes = quotes;
    out[b].inside = prefix_parity_clmul(quotes);
    out[b].commas = _mm512_cmpeq_epi8_mask(bytes, comma);
    out[b].newlines = _mm512_cmpeq_epi8_mask(bytes, newline);
  }
}

#elif defined(__aarch64__)

std::uint64_t equal_bits_neon(const uint8x16_t (&bytes)[4], std::uint8_t wanted) {
  static constexpr std::uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                             1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bit = vld1q_u8(kBits);
  const uint8x16_t all = vdupq_n_u8(wanted);
  const uint8x16_t a = vandq_u8(vceqq_u8(bytes[0], all), bit);
  const uint8x16_t b = vandq_u8(vceqq_u8(bytes[1], all), bit);
  const uint8x16_t c = vandq_u8(vceqq_u8(bytes[2], all), bit);
  const uint8x16_t d = vandq_u8(vceqq_u8(bytes[3], all), bit);
  // Adding neighbours three times over packs eight bytes' bits into one byte, in order.
  const uint8x16_t sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0);
}

void classify_neon(const char* text, std::size_t blocks, BlockMasks* out) {
  for (std::size_t b = 0; b < blocks; ++b, text += kBlock) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(text);
    const uint8x16_t bytes[4] = {vld1q_u8(from), vld1q_u8(from + 16), vld1q_u8(from + 32),
                                 vld1q_u8(from + 48)};
    out[b].quotes = equal_bits_neon(bytes, '"');
    out[b].inside = prefix_parity(out[b].quotes);
    out[b].commas = equal_bits_neon(bytes, ',');
    out[b].newlines = equal_bits_neon(bytes, '\n');
  }
}

#endif

// Writes four offsets whether or not there are as many: a fixed amount of work is cheaper than a
// branch that is mispredicted, and few blocks have more.
[[gnu::always_inline]] inline std::uint32_t* write_offsets(std::uint64_t bits, std::uint32_t base,
                                                           std::uint32_t* out) {
  const int count = std::popcount(bits);
  for (int done = 0;; done += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      out[done + i] = base + static_cast<std::uint32_t>(std::countr_zero(bits));
      bits &= bits - 1;
    }
    if (done + 4 >= count) [[likely]]
      return out + count;
  }
}

[[gnu::noinline]] std::uint32_t first_misplaced(std::uint64_t misplaced, const char* block,
                                                std::uint32_t base) {
  // A carriage return may follow a closing quote: whether a line feed comes after it is seen when
  // the field is read.
  for (; misplaced != 0; misplaced &= misplaced - 1) {
    const int at = std::countr_zero(misplaced);
    if (block[at] != '\r') return base + static_cast<std::uint32_t>(at);
  }
  return kNoOffset;
}

[[gnu::noinline]] void add_quoted_newlines(std::uint64_t newlines, std::uint32_t base,
                                           std::vector<std::uint32_t>& out) {
  for (; newlines != 0; newlines &= newlines - 1) {
    out.push_back(base + static_cast<std::uint32_t>(std::countr_zero(newlines)));
  }
}

// Reads the masks of one block, of which the first `size` bytes count.
[[gnu::always_inline]] inline bool read_block(const BlockMasks& masks, const char* block,
                                              unsigned size, std::uint32_t base,
                                              StructureState& state, StructureScan& scan,
                                              std::vector<std::uint32_t>& quoted_newlines) {
  const std::uint64_t inside = masks.inside ^ state.in_quotes;
  const std::uint64_t opening = masks.quotes & inside;
  const std::uint64_t closing = masks.quotes & ~inside;
  const std::uint64_t separators = (masks.commas | masks.newlines) & ~inside;
  const std::uint64_t boundary = separators | closing;
  const std::uint64_t bad_opening = opening & ~(boundary << 1 | state.after_boundary);
  const std::uint64_t bad_after = (closing << 1 | state.after_close) & ~(separators | opening) &
                                  (~std::uint64_t{0} >> (kBlock - size));
  scan.separators_end = write_offsets(separators, base, scan.separators_end);
  const unsigned last = size - 1;
  state.in_quotes = 0 - (inside >> last & 1);
  state.after_boundary = boundary >> last & 1;
  state.after_close = closing >> last & 1;
  if ((masks.newlines & inside) != 0) [[unlikely]] {
    add_quoted_newlines(masks.newlines & inside, base, quoted_newlines);
  }
  if ((bad_opening | bad_after) != 0) [[unlikely]] {
    scan.misplaced = first_misplaced(bad_opening | bad_after, block, base);
    return scan.misplaced == kNoOffset;
  }
  return true;
}

using Classify = void (*)(const char*, std::size_t, BlockMasks*);

[[gnu::always_inline]] inline StructureScan scan_with(Classify classify, std::string_view text,
                                                      std::uint32_t base, StructureState& kept,
                                                      std::uint32_t* separators,
                                                      std::vector<std::uint32_t>& quoted_newlines) {
  StructureScan scan{.separators_end = separators};
  StructureState state = kept;  // a copy, that stays in registers
  BlockMasks masks[kGroup];
  const char* at = text.data();
  std::size_t whole = text.size() / kBlock;
  while (whole > 0) {
    const std::size_t blocks = std::min(whole, kGroup);
    classify(at, blocks, masks);
    for (std::size_t b = 0; b < blocks; ++b, at += kBlock, base += kBlock) {
      if (!read_block(masks[b], at, kBlock, base, state, scan, quoted_newlines)) return scan;
    }
    whole -= blocks;
  }
  if (const std::size_t rest = text.size() % kBlock; rest != 0) {
    char padded[kBlock] = {};
    std::memcpy(padded, at, rest);
    classify(padded, 1, masks);
    read_block(masks[0], padded, static_cast<unsigned>(rest), base, state, scan, quoted_newlines);
  }
  kept = state;
  return scan;
}

#if defined(__x86_64__)

// The same code, compiled with the bit instructions that come with AVX2.
__attribute__((target("bmi,popcnt"))) StructureScan
scan_with_bmi(Classify classify, std::string_view text, std::uint32_t base, StructureState& state,
              std::uint32_t* separators, std::vector<std::uint32_t>& quoted_newlines) {
  return scan_with(classify, text, base, state, separators, quoted_newlines);
}

#endif

}  // namespace

std::string_view to_string(Instructions instructions) {
  switch (instructions) {
    case Instructions::kPortable:
      return "portable";
    case Instructions::kSse2:
      return "sse2";
    case Instructions::kNeon:
      return "neon";
    case Instructions::kAvx2:
      return "avx2";
    case Instructions::kAvx512:
      return "avx512";
  }
  return "unknown";
}

bool is_supported(Instructions instructions) {
#if defined(__x86_64__)
  const bool bits = __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt") &&
                    __builtin_cpu_supports("pclmul");
  switch (instructions) {
    case Instructions::kPortable:
    case Instructions::kSse2:
      return true;
    case Instructions::kAvx2:
      return bits && __builtin_cpu_supports("avx2");
    case Instructions::kAvx512:
      return bits && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    case Instructions::kNeon:
      return false;
  }
  return false;
#elif defined(__aarch64__)
  return instructions == Instructions::kPortable || instructions == Instructions::kNeon;
#else
  return instructions == Instructions::kPortable;
#endif
}

Instructions best_instructions() {
  for (const Instructions candidate :
       {Instructions::kAvx512, Instructions::kAvx2, Instructions::kNeon, Instructions::kSse2}) {
    if (is_supported(candidate)) return candidate;
  }
  return Instructions::kPortable;
}

StructureScan scan_structure(Instructions instructions, std::string_view text, std::uint32_t base,
                             StructureState& state, std::uint32_t* separators,
                             std::vector<std::uint32_t>& quoted_newlines) {
  switch (instructions) {
#if defined(__x86_64__)
    case Instructions::kAvx512:
      return scan_with_bmi(classify_avx512, text, base, state, separators, quoted_newlines);
    case Instructions::kAvx2:
      return scan_with_bmi(classify_avx2, text, base, state, separators, quoted_newlines);
    case Instructions::kSse2:
      return scan_with(classify_sse2, text, base, state, separators, quoted_newlines);
#elif defined(__aarch64__)
    case Instructions::kNeon:
      return scan_with(classify_neon, text, base, state, separators, quoted_newlines);
#endif
    default:
      return scan_with(classify_portable, text, base, state, separators, quoted_newlines);
  }
}

}  // namespace gpu_telemetry::sources::csv
