// TelemetryBatch <-> bytes, versioned. docs/formats/wire.md has the bytes.
#pragma once

#include <string>
#include <string_view>

#include "domain/batch_codec.h"

namespace gpu_telemetry::wire {

// Every message starts with these four bytes, then a version byte.
inline constexpr std::string_view kMagic = "GTB\x1a";
inline constexpr std::uint8_t kVersion = 1;

// Limits that decode enforces before it allocates anything by a size that it read.
inline constexpr std::size_t kMaxScrapes = 1 << 20;
inline constexpr std::size_t kMaxSamples = 1 << 22;

// The one codec of this process. Stateless and thread-safe; see BatchCodec for the contract.
const BatchCodec& batch_codec();

}  // namespace gpu_telemetry::wire
