// What is known of DCGM's fields: names, unit, kind, and which numbers are readings at all.
//
// Facts from NVIDIA's DCGM (dcgm_fields.h) and dcgm-exporter (default-counters.csv); valid ranges
// are the physical or documented limits of the quantity, wide enough for any current product.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace gpu_telemetry {

enum class MetricKind : std::uint8_t { kGauge, kCounter };
enum class MetricType : std::uint8_t { kInt64, kDouble };

// One numeric DCGM field. Values live as long as the program.
struct MetricDefinition {
  std::uint16_t field_id = 0;
  // The earlier of the field's names where DCGM renamed it, else its only one: the name under which
  // it is stored and shown.
  std::string_view name;
  std::string_view current_name;  // DCGM's name today; equal to `name` when it was never renamed
  MetricType type = MetricType::kInt64;
  MetricKind kind = MetricKind::kGauge;
  std::string_view unit;  // "C", "W", "MHz", "MiB", "%", "ratio", "mJ", ...; empty: a plain number
  std::string_view help;
  bool exported_by_default = false;  // in dcgm-exporter's default counters
  // Inclusive; outside of it a number is "out of range". lowest()/max() of double: no limit known.
  double valid_min = 0;
  double valid_max = 0;
  // Whether the int32 blank codes (0x7ffffff0 to 0x7ffffff3) cannot be values of this field.
  bool int32_blanks = false;
};

// Every numeric field, in the order of `name`.
std::span<const MetricDefinition> metric_definitions();

// By any name that the field has or had; null when the name is not in the catalogue. O(1), no
// allocation, thread-safe.
const MetricDefinition* find_metric(std::string_view any_name);

// The name under which readings of `any_name` are stored: the definition's `name`, or `any_name`
// itself when it is not in the catalogue.
std::string_view canonical_metric_name(std::string_view any_name);

// Why something is not a reading. The names are the label values of
// gpu_telemetry_readings_rejected_total{reason}.
enum class Rejection : std::uint8_t {
  kNone,
  kBlank,         // "blank": DCGM has no value yet
  kNotFound,      // "not_found"
  kNotSupported,  // "not_supported"
  kNotPermitted,  // "not_permitted"
  kNotANumber,    // "not_a_number": text such as `12abc`
  kOutOfRange,    // "out_of_range"
};
inline constexpr int kRejectionCount = 7;
std::string_view to_string(Rejection rejection);

struct Reading {
  double value = 0;  // finite when `rejection` is kNone
  Rejection rejection = Rejection::kNone;
};

// Turns the text of a value into a reading of the field. `definition` may be null (an unknown
// metric: any finite number that is neither an int64 blank nor one of the four double codes).
// Absent, by DCGM's dcgm_fields.h:
//  - int64 fields (and unknown ones): 0x7ffffffffffffff0 blank, ...f1 not found, ...f2 not
//  supported,
//    ...f3 not permitted, anything above blank;
//  - double fields: 140737488355328.0 blank, .0+1 not found, +2 not supported, +3 not permitted,
//  and
//    anything above blank;
//  - int32 codes 0x7ffffff0 to 0x7ffffff3, only where `int32_blanks`;
//  - `<<<NULL>>>`, `<<<NOT_FOUND>>>`, `<<<NOT_SUPPORTED>>>`, `<<<NOT_PERM>>>`;
//  - `N/A`, `nan`, `inf` with either sign and in any case, and empty text: blank.
// Numbers are decimal, with fraction and exponent (std::from_chars), rounded as strtod rounds them;
// spaces and tabs around are ignored. One too large or too small for a double is out of range.
Reading interpret_reading(const MetricDefinition* definition, std::string_view text);

// The same for a value that is a number already (a source that does not read text).
Reading interpret_reading(const MetricDefinition* definition, double value);

}  // namespace gpu_telemetry
