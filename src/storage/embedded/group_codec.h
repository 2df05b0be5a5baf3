// Sequences of 64-bit integers in groups of 128, each group in the coding that takes least.
// docs/formats/store.md, "Groups", has the bytes.
//
// Arithmetic is modulo 2^64 throughout: a damaged or hostile group decodes to wrong numbers, never
// to undefined behaviour, and the checksum around it tells.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/embedded/bit_packing.h"

namespace gpu_telemetry::storage::embedded {

enum class GroupCoding : std::uint8_t {
  kRange,  // base + packed: the base is the minimum
  kDelta,  // base, then differences of neighbours: step + packed
  kLine,   // base + i * step + packed
  kRuns,   // equal neighbours once
  kKeys,   // not integers: the sort keys of doubles (double_to_key), base + packed
};

// A group as its header tells it.
struct Group {
  GroupCoding coding = GroupCoding::kRange;
  std::uint8_t width = 0;
  std::uint8_t count = 0;  // 1 to 128
  // Whether below, above and sum hold. Always for a constant group and for runs.
  bool has_statistics = false;
  std::uint64_t base = 0;
  std::uint64_t step = 0;
  const char* payload = nullptr;
  std::uint64_t below = 0;  // base - minimum
  std::uint64_t above = 0;  // maximum - base
  std::uint64_t sum = 0;    // of (value - base), as a signed number; kKeys: the bits of a double
};

// Encodes groups one after the other. `statistics`: whether full groups carry minimum, maximum,
// sum.
class GroupEncoder {
 public:
  explicit GroupEncoder(bool statistics) : statistics_(statistics) {}

  // Forgets what was added and keeps the memory.
  void clear();
  // Adds a group of up to 128 integers, not empty; all but the last are full.
  void add(std::span<const std::int64_t> values);
  // Adds a group of doubles, all finite, bit for bit.
  void add_doubles(std::span<const double> values);
  // Appends all groups.
  void append_to(std::string& out) const;

 private:
  bool statistics_;
  std::uint64_t reference_ = 0;  // the base of the group before
  std::string headers_;
  std::string payload_;
};

// Replaces `groups` with the groups of `count` values that fill `bytes` exactly; their payloads
// point into it. Returns what is wrong, or an empty view; `groups` is then unspecified.
std::string_view parse_groups(std::string_view bytes, std::uint64_t count, bool statistics,
                              std::vector<Group>& groups);

// Writes the group's `count` values to `out`, which has room for kGroupSize.
void decode_group(const Group& group, std::uint64_t* out);

// The first of the group's values.
std::uint64_t first_value(const Group& group);

// Whether the group's minimum, maximum and sum are those of its values (true when it has none).
bool statistics_hold(const Group& group);

// Doubles as integers in the same order, -0.0 before +0.0.
inline std::uint64_t double_to_key(double value) {
  const auto raw = std::bit_cast<std::uint64_t>(value);
  // Negative numbers: all bits turned over; others: the sign bit.
  return raw ^ (static_cast<std::uint64_t>(static_cast<std::int64_t>(raw) >> 63) | (1ULL << 63));
}
inline double key_to_double(std::uint64_t key) {
  const std::uint64_t flip =
      static_cast<std::uint64_t>(static_cast<std::int64_t>(~key) >> 63) | (1ULL << 63);
  return std::bit_cast<double>(key ^ flip);
}

}  // namespace gpu_telemetry::storage::embedded
