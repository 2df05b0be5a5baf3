// The implementations behind crc32c.h, so that a test and a bench can tell them apart. Both take
// and return the raw state: the checksum with its bits inverted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpu_telemetry::io::internal {

std::uint32_t crc32c_by_tables(std::uint32_t state, const char* bytes, std::size_t size);

// Call only when has_crc32c_instruction() (SSE4.2, or ARMv8's CRC extension).
bool has_crc32c_instruction();
std::uint32_t crc32c_by_instruction(std::uint32_t state, const char* bytes, std::size_t size);

}  // namespace gpu_telemetry::io::internal
