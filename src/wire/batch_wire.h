// TelemetryBatch <-> bytes, versioned. docs/formats/wire.md has the bytes.
#pragma once

#include <string>
#include <string_view>

#include "domain/batch_codec.h"

namespace gpu_telemetry::wire {

// Every message starts with these four bytes, then a version byte.
inline constexpr std::string_view kMagic = "GTB\x1a";
inline constexpr std::uint8_t kVersion = 1;

// Limits that decode enforces before it allocates anything by a size that it read. Whoever fills a
// batch stays well below them: encode does not check, and decode refuses what is larger.
inline constexpr std::size_t kMaxScrapes = 1 << 20;
inline constexpr std::size_t kMaxSamples = 1 << 22;
inline constexpr std::size_t kMaxGpus = 1 << 18;
inline constexpr std::size_t kMaxMetrics = 1 << 16;
inline constexpr std::size_t kMaxTextSize = 1 << 16;       // bytes of one attribute or label
inline constexpr std::size_t kMaxTextBytes = 64ULL << 20;  // of all attributes of all GPUs
inline constexpr std::size_t kMaxLabels = 1 << 20;         // of all GPUs

// The one codec of this process. Stateless and thread-safe; see BatchCodec for the contract.
//
// Decoded GPUs are shared: the same attributes decoded twice usually give the same Gpu object, so a
// steady fleet's batches allocate nothing. (Do not rely on it: compare what is in them.)
const BatchCodec& batch_codec();

}  // namespace gpu_telemetry::wire
