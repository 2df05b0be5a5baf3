// The identity of a GPU, or of a MIG instance.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "domain/result.h"

namespace gpu_telemetry {

// `GPU-` or `MIG-` and a UUID. 17 bytes, ordered as its text is, free to copy.
class GpuUuid {
 public:
  enum class Kind : std::uint8_t { kGpu = 0, kMig = 1 };
  static constexpr std::size_t kTextSize = 40;

  constexpr GpuUuid() = default;
  constexpr GpuUuid(Kind kind, const std::array<std::uint8_t, 16>& bytes)
      : kind_(kind), bytes_(bytes) {}

  // Reads `GPU-` or `MIG-` (upper case) followed by 8-4-4-4-12 hexadecimal digits of either case.
  // Errors: kInvalid, with the text (shortened) and the accepted form.
  static Result<GpuUuid> parse(std::string_view text);
  // The same without an error's cost, for hot paths: false leaves `out` as it was.
  static bool try_parse(std::string_view text, GpuUuid& out);

  // The UUID of MIG instance `gpu_instance_id` (DCGM's label GPU_I_ID) of this GPU: exporters
  // report an instance's readings under its parent's UUID. It is `MIG-` and the name-based UUID
  // (RFC 9562, version 5) of the id within the parent's UUID, so every process derives the same
  // one.
  GpuUuid mig_instance(std::string_view gpu_instance_id) const;

  // Lower-case digits.
  std::string to_string() const;
  // The same, written to `out`, which has room for kTextSize characters. Returns the end.
  char* format_to(char* out) const;

  // The same number on every machine and in every release, unlike std::hash's: GPUs are spread over
  // processes by it. FNV-1a (64 bits) of the kind and the 16 bytes, mixed once more so that the low
  // bits of made-up UUIDs differ too.
  std::uint64_t stable_hash() const;

  constexpr Kind kind() const { return kind_; }
  constexpr const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  friend constexpr auto operator<=>(const GpuUuid&, const GpuUuid&) = default;

 private:
  Kind kind_ = Kind::kGpu;
  std::array<std::uint8_t, 16> bytes_{};
};

}  // namespace gpu_telemetry

template <>
struct std::hash<gpu_telemetry::GpuUuid> {
  // A real UUID is random in every byte; mixing guards against a fleet of made-up ones.
  std::size_t operator()(const gpu_telemetry::GpuUuid& uuid) const noexcept {
    std::uint64_t a;
    std::uint64_t b;
    std::memcpy(&a, uuid.bytes().data(), sizeof a);
    std::memcpy(&b, uuid.bytes().data() + 8, sizeof b);
    std::uint64_t h = (a ^ (b * 0x9E3779B97F4A7C15ULL)) + static_cast<std::uint64_t>(uuid.kind());
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93ULL;
    return h ^ (h >> 32);
  }
};
