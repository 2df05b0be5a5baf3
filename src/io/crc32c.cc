#include "io/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "io/crc32c_internal.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace gpu_telemetry::io {
namespace internal {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // 0x1EDC6F41 with its bits reversed

using ByteTable = std::array<std::uint32_t, 256>;

// kTables[k][b]: the state after byte b and k zero bytes. Eight of them take eight bytes a step.
constexpr std::array<ByteTable, 8> kTables = [] {
  std::array<ByteTable, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t state = byte;
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) ? kPolynomial : 0);
    tables[0][byte] = state;
  }
  for (std::size_t k = 1; k < tables.size(); ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}();

constexpr std::uint32_t step(std::uint32_t state, std::uint8_t byte) {
  return (state >> 8) ^ kTables[0][(state ^ byte) & 0xff];
}

}  // namespace

std::uint32_t crc32c_by_tables(std::uint32_t state, const char* bytes, std::size_t size) {
  while (size >= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    word ^= state;
    state = kTables[7][word & 0xff] ^ kTables[6][(word >> 8) & 0xff] ^
            kTables[5][(word >> 16) & 0xff] ^ kTables[4][(word >> 24) & 0xff] ^
            kTables[3][(word >> 32) & 0xff] ^ kTables[2][(word >> 40) & 0xff] ^
            kTables[1][(word >> 48) & 0xff] ^ kTables[0][word >> 56];
    bytes += 8;
    size -= 8;
  }
  while (size-- != 0) state = step(state, static_cast<std::uint8_t>(*bytes++));
  return state;
}

#if defined(__x86_64__) || defined(__aarch64__)
namespace {

// The instruction has a latency of three cycles and a throughput of one, so three stripes run
// beside each other. Joining them needs "the state after kStripe zero bytes", which is linear in
// the state: four look-ups, one for each of its bytes.
constexpr std::size_t kStripe = 512;

constexpr std::array<ByteTable, 4> kSkipStripe = [] {
  std::array<std::uint32_t, 32> of_bit{};
  for (std::size_t bit = 0; bit < 32; ++bit) {
    std::uint32_t state = std::uint32_t{1} << bit;
    for (std::size_t i = 0; i < kStripe; ++i) state = step(state, 0);
    of_bit[bit] = state;
  }
  std::array<ByteTable, 4> tables{};
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      for (std::size_t bit = 0; bit < 8; ++bit) {
        if (byte & (1U << bit)) tables[k][byte] ^= of_bit[8 * k + bit];
      }
    }
  }
  return tables;
}();

inline std::uint32_t skip_stripe(std::uint32_t state) {
  return kSkipStripe[0][state & 0xff] ^ kSkipStripe[1][(state >> 8) & 0xff] ^
         kSkipStripe[2][(state >> 16) & 0xff] ^ kSkipStripe[3][state >> 24];
}

inline std::uint64_t word_at(const char* bytes) {
  std::uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

}  // namespace
#endif

#if defined(__x86_64__)
#define GPU_TELEMETRY_CRC_TARGET __attribute__((target("sse4.2")))
#define GPU_TELEMETRY_CRC_WORD(state, word) static_cast<std::uint32_t>(_mm_crc32_u64(state, word))
#define GPU_TELEMETRY_CRC_BYTE(state, byte) _mm_crc32_u8(state, byte)
bool has_crc32c_instruction() { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#if defined(__clang__)
#define GPU_TELEMETRY_CRC_TARGET __attribute__((target("crc")))
#else
#define GPU_TELEMETRY_CRC_TARGET __attribute__((target("+crc")))
#endif
#define GPU_TELEMETRY_CRC_WORD(state, word) __crc32cd(state, word)
#define GPU_TELEMETRY_CRC_BYTE(state, byte) __crc32cb(state, byte)
bool has_crc32c_instruction() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
bool has_crc32c_instruction() { return false; }
std::uint32_t crc32c_by_instruction(std::uint32_t state, const char* bytes, std::size_t size) {
  return crc32c_by_tables(state, bytes, size);
}
#endif

#if defined(__x86_64__) || defined(__aarch64__)
GPU_TELEMETRY_CRC_TARGET
std::uint32_t crc32c_by_instruction(std::uint32_t state, const char* bytes, std::size_t size) {
  while (size >= 3 * kStripe) {
    std::uint32_t first = state;
    std::uint32_t second = 0;
    std::uint32_t third = 0;
    for (std::size_t i = 0; i < kStripe; i += 8) {
      first = GPU_TELEMETRY_CRC_WORD(first, word_at(bytes + i));
      second = GPU_TELEMETRY_CRC_WORD(second, word_at(bytes + kStripe + i));
      third = GPU_TELEMETRY_CRC_WORD(third, word_at(bytes + 2 * kStripe + i));
    }
    state = skip_stripe(skip_stripe(first) ^ second) ^ third;
    bytes += 3 * kStripe;
    size -= 3 * kStripe;
  }
  while (size >= 8) {
    state = GPU_TELEMETRY_CRC_WORD(state, word_at(bytes));
    bytes += 8;
    size -= 8;
  }
  while (size-- != 0) state = GPU_TELEMETRY_CRC_BYTE(state, static_cast<std::uint8_t>(*bytes++));
  return state;
}
#endif

}  // namespace internal

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
  static const auto implementation = internal::has_crc32c_instruction()
                                         ? &internal::crc32c_by_instruction
                                         : &internal::crc32c_by_tables;
  return ~implementation(~seed, bytes.data(), bytes.size());
}

}  // namespace gpu_telemetry::io
