#include "domain/metric_catalogue.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

namespace gpu_telemetry {
namespace {

struct Limits {
  double min;
  double max;
};

// Wide enough for any current product and some to come; narrow enough that the int32 blank codes
// (2,147,483,632 and above) are outside of those that limit a physical quantity.
constexpr Limits kNoLimits = {std::numeric_limits<double>::lowest(),
                              std::numeric_limits<double>::max()};
constexpr Limits kCount = {0, std::numeric_limits<double>::max()};
constexpr Limits kSmall = {0, 255};           // states and flags
constexpr Limits kXid = {0, 65'535};          // XID codes are at most a few hundred today
constexpr Limits kPercent = {0, 100};         // of time
constexpr Limits kFan = {0, 255};             // a fan may turn faster than its rated 100 %
constexpr Limits kRatio = {0, 1.01};          // a hardware counter read a little late exceeds 1
constexpr Limits kTemperature = {-100, 300};  // C
constexpr Limits kMargin = {-300, 300};       // C; negative past the limit
constexpr Limits kPower = {0, 100'000};       // W, of a board or a module
constexpr Limits kClock = {0, 100'000};       // MHz
constexpr Limits kMemory = {0, 67'108'864};   // MiB: 64 TiB

// A row as the table writes it.
struct Row {
  std::uint16_t field_id;
  std::string_view name;
  std::string_view current_name;
  MetricType type;
  MetricKind kind;
  std::string_view unit;
  std::string_view help;
  bool exported_by_default;
  Limits limits;
  bool int32_blanks;
};

constexpr MetricType kInt64 = MetricType::kInt64;
constexpr MetricType kDouble = MetricType::kDouble;
constexpr MetricKind kGauge = MetricKind::kGauge;
constexpr MetricKind kCounter = MetricKind::kCounter;

constexpr Row kRows[] = {
#include "domain/metric_catalogue_table.inc"
};
constexpr std::size_t kFieldCount = std::size(kRows);

constexpr std::array<MetricDefinition, kFieldCount> kDefinitions = [] {
  std::array<MetricDefinition, kFieldCount> definitions;
  for (std::size_t i = 0; i < kFieldCount; ++i) {
    const Row& row = kRows[i];
    definitions[i] = {.field_id = row.field_id,
                      .name = row.name,
                      .current_name = row.current_name,
                      .type = row.type,
                      .kind = row.kind,
                      .unit = row.unit,
                      .help = row.help,
                      .exported_by_default = row.exported_by_default,
                      .valid_min = row.limits.min,
                      .valid_max = row.limits.max,
                      .int32_blanks = row.int32_blanks};
  }
  return definitions;
}();

// The same number at compile time and, on any byte order, at run time.
constexpr std::uint64_t load_word(const char* at) {
  if (!std::is_constant_evaluated() && std::endian::native == std::endian::little) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < sizeof word; ++i) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
  }
  return word;
}

// Eight bytes a step, the last eight perhaps overlapping those before: the names are 17 to 65
// characters long. Shorter text hashes by its length alone.
constexpr std::uint64_t hash_name(std::string_view name) {
  constexpr std::uint64_t kMultiplier = 0x9FB21C651E98DF25ULL;
  std::uint64_t hash = name.size() * kMultiplier;
  if (name.size() < 8) return hash;
  const char* const last = name.data() + name.size() - 8;
  for (const char* at = name.data(); at < last; at += 8) {
    hash = (hash ^ load_word(at)) * kMultiplier;
    hash ^= hash >> 32;
  }
  hash = (hash ^ load_word(last)) * kMultiplier;
  return hash ^ (hash >> 32);
}

// An open-addressed hash table of all names, made by the compiler. A slot holds 1 + twice the
// definition's index, and one more for its current name; 0 is a free slot.
constexpr std::size_t kSlotCount = 2048;

constexpr std::string_view name_in_slot(std::uint16_t slot) {
  const MetricDefinition& definition = kDefinitions[(slot - 1U) / 2];
  return (slot - 1U) % 2 == 0 ? definition.name : definition.current_name;
}

constexpr std::array<std::uint16_t, kSlotCount> kSlots = [] {
  std::array<std::uint16_t, kSlotCount> slots{};
  const auto insert = [&slots](std::uint16_t slot) {
    std::size_t at = hash_name(name_in_slot(slot)) % kSlotCount;
    while (slots[at] != 0) at = (at + 1) % kSlotCount;
    slots[at] = slot;
  };
  for (std::size_t i = 0; i < kFieldCount; ++i) {
    insert(static_cast<std::uint16_t>(1 + 2 * i));
    if (kDefinitions[i].current_name != kDefinitions[i].name) {
      insert(static_cast<std::uint16_t>(2 + 2 * i));
    }
  }
  return slots;
}();

constexpr bool rows_are_in_order() {
  for (std::size_t i = 1; i < kFieldCount; ++i) {
    if (!(kRows[i - 1].name < kRows[i].name)) return false;
  }
  return true;
}
static_assert(rows_are_in_order(), "metric_catalogue_table.inc must be sorted by name");

}  // namespace

std::span<const MetricDefinition> metric_definitions() { return kDefinitions; }

const MetricDefinition* find_metric(std::string_view any_name) {
  std::size_t at = hash_name(any_name) % kSlotCount;
  while (kSlots[at] != 0) {
    if (name_in_slot(kSlots[at]) == any_name) return &kDefinitions[(kSlots[at] - 1U) / 2];
    at = (at + 1) % kSlotCount;
  }
  return nullptr;
}

std::string_view canonical_metric_name(std::string_view any_name) {
  const MetricDefinition* definition = find_metric(any_name);
  return definition == nullptr ? any_name : definition->name;
}

}  // namespace gpu_telemetry
