// Unsigned integers of one width packed without gaps, in blocks of up to 128.
//
// A full block is transposed: value i lies in lane i % L of row i / L, where a lane is a 16-bit
// word for widths up to 16, a 32-bit word up to 32 and a 64-bit word above, and L lanes make 16
// bytes. So one shift unpacks a whole row with the vector registers that every x86-64 and AArch64
// has. A shorter block is a plain little-endian bit stream, which wastes less than a byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gpu_telemetry::storage::embedded {

inline constexpr std::size_t kGroupSize = 128;

// Bytes of `count` values (at most kGroupSize) of `width` bits (at most 64).
constexpr std::size_t packed_size(std::size_t count, unsigned width) {
  return (count * width + 7) / 8;
}

// Appends packed_size(count, width) bytes. Bits of a value above `width` must be zero.
void pack(const std::uint64_t* values, std::size_t count, unsigned width, std::string& out);

// Reads packed_size(count, width) bytes from `in`, not one more, and writes `count` values, each
// with `offset` added (modulo 2^64).
void unpack(const char* in, std::size_t count, unsigned width, std::uint64_t offset,
            std::uint64_t* out);

// The same for a full block of at most 31 bits, modulo 2^32.
void unpack_narrow(const char* in, unsigned width, std::uint32_t offset, std::int32_t* out);

}  // namespace gpu_telemetry::storage::embedded
