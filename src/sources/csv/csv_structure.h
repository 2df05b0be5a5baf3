// Finds where the fields of CSV text end, 64 bytes at a time, without a branch per byte.
//
// Quoting is RFC 4180's, read strictly: a quote opens a field only as its first character, and what
// follows the closing quote is a separator or the end of the line. A quote elsewhere is
// "misplaced", which is how an unclosed quote is noticed before it swallows the rest of the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gpu_telemetry::sources::csv {

// The ways to do it, each chosen at run time by what the processor has.
enum class Instructions { kPortable, kSse2, kNeon, kAvx2, kAvx512 };
inline constexpr Instructions kAllInstructions[] = {Instructions::kPortable, Instructions::kSse2,
                                                    Instructions::kNeon, Instructions::kAvx2,
                                                    Instructions::kAvx512};
std::string_view to_string(Instructions instructions);
bool is_supported(Instructions instructions);
// The fastest that this processor has.
Instructions best_instructions();

// What has to be remembered between two calls.
struct StructureState {
  std::uint64_t in_quotes = 0;       // all ones between an opening quote and its closing one
  std::uint64_t after_boundary = 1;  // 1 where a quote may stand: after a separator or a quote
  std::uint64_t after_close = 0;     // 1 after a quote that closes, or that starts a doubled one
};

inline constexpr std::uint32_t kNoOffset = UINT32_MAX;

// How many entries beyond the separators found scan_structure may overwrite.
inline constexpr std::size_t kSeparatorSlack = 64;

struct StructureScan {
  std::uint32_t* separators_end = nullptr;
  // Where the first misplaced quote was noticed, or kNoOffset. The scan went no further than the
  // block with it, and separators after it mean nothing.
  std::uint32_t misplaced = kNoOffset;
};

// Writes the offsets (of `text` in its buffer: `base` and up) of all commas and line feeds outside
// quotes to `separators`, ascending, which must have room for text.size() + kSeparatorSlack;
// appends those of line feeds inside quotes to `quoted_newlines`.
StructureScan scan_structure(Instructions instructions, std::string_view text, std::uint32_t base,
                             StructureState& state, std::uint32_t* separators,
                             std::vector<std::uint32_t>& quoted_newlines);

}  // namespace gpu_telemetry::sources::csv
