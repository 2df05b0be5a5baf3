// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 section 12.1), the checksum of
// every stored record. Uses the processor's instruction where there is one, chosen at run time.
#pragma once

#include <cstdint>
#include <string_view>

namespace gpu_telemetry::io {

// The checksum of `bytes`, or of what `seed` is the checksum of, followed by `bytes`. Thread-safe.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

}  // namespace gpu_telemetry::io
