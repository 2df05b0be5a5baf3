#include "domain/gpu_uuid.h"

#include <openssl/sha.h>

#include <vector>

namespace gpu_telemetry {
namespace {

constexpr std::string_view kForm =
    "GPU- or MIG- and a UUID, such as GPU-5fd4f087-86f3-7a43-b711-4771313afc50";

constexpr std::array<std::int8_t, 256> kHexDigits = [] {
  std::array<std::int8_t, 256> table{};
  table.fill(-1);
  for (int i = 0; i < 10; ++i)
    table[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
  for (int i = 0; i < 6; ++i) {
    table[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
    table[static_cast<std::size_t>('A' + i)] = static_cast<std::int8_t>(10 + i);
  }
  return table;
}();

// Where byte i of a UUID starts in its text, after the four characters of the prefix.
constexpr std::array<std::uint8_t, 16> kDigitOffsets = {4,  6,  8,  10, 13, 15, 18, 20,
                                                        23, 25, 28, 30, 32, 34, 36, 38};

}  // namespace

bool GpuUuid::try_parse(std::string_view text, GpuUuid& out) {
  if (text.size() != kTextSize) return false;
  Kind kind;
  if (std::memcmp(text.data(), "GPU-", 4) == 0) {
    kind = Kind::kGpu;
  } else if (std::memcmp(text.data(), "MIG-", 4) == 0) {
    kind = Kind::kMig;
  } else {
    return false;
  }
  if (text[12] != '-' || text[17] != '-' || text[22] != '-' || text[27] != '-') return false;
  std::array<std::uint8_t, 16> bytes;
  int bad = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = kHexDigits[static_cast<std::uint8_t>(text[kDigitOffsets[i]])];
    const int low = kHexDigits[static_cast<std::uint8_t>(text[kDigitOffsets[i] + 1U])];
    bad |= high | low;
    bytes[i] = static_cast<std::uint8_t>((high << 4) | low);
  }
  if (bad < 0) return false;
  out = GpuUuid(kind, bytes);
  return true;
}

Result<GpuUuid> GpuUuid::parse(std::string_view text) {
  GpuUuid uuid;
  if (try_parse(text, uuid)) return uuid;
  return invalid("malformed GPU UUID '" + std::string(text.substr(0, 80)) + "': expected " +
                 std::string(kForm));
}

GpuUuid GpuUuid::mig_instance(std::string_view gpu_instance_id) const {
  std::vector<unsigned char> name(bytes_.begin(), bytes_.end());
  name.insert(name.end(), gpu_instance_id.begin(), gpu_instance_id.end());
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(name.data(), name.size(), digest.data());
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), digest.data(), bytes.size());
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x50);  // version 5
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);  // variant of RFC 9562
  return {Kind::kMig, bytes};
}

char* GpuUuid::format_to(char* out) const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::memcpy(out, kind_ == Kind::kGpu ? "GPU-" : "MIG-", 4);
  out[12] = out[17] = out[22] = out[27] = '-';
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    out[kDigitOffsets[i]] = kDigits[bytes_[i] >> 4];
    out[kDigitOffsets[i] + 1] = kDigits[bytes_[i] & 0x0f];
  }
  return out + kTextSize;
}

std::uint64_t GpuUuid::stable_hash() const {
  constexpr std::uint64_t kBasis = 0xcbf29ce484222325;
  constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t hash = (kBasis ^ static_cast<std::uint8_t>(kind_)) * kPrime;
  for (const std::uint8_t byte : bytes_) hash = (hash ^ byte) * kPrime;
  hash ^= hash >> 32;
  hash *= 0xD6E8FEB86659FD93;
  return hash ^ hash >> 32;
}

std::string GpuUuid::to_string() const {
  std::string text(kTextSize, '\0');
  format_to(text.data());
  return text;
}

}  // namespace gpu_telemetry
