// Reads the values of rows.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "domain/metric_catalogue.h"
#include "sources/csv/csv_metric_table.h"

namespace gpu_telemetry::sources::csv {

// Reads `text` when it is a plain decimal number of at most 15 digits (`0`, `68.5`), as nearly all
// values are. Exact: such digits and powers of ten are doubles, and one division rounds once.
[[gnu::always_inline]] inline bool read_plain_number(std::string_view text, double& value) {
  static constexpr std::array<double, 16> kPowersOfTen = {
      1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  if (text.empty() || text.size() > 15) return false;
  std::uint64_t digits = 0;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
    if (digit > 9) break;
    digits = digits * 10 + digit;
  }
  if (i == text.size()) {
    value = static_cast<double>(digits);
    return true;
  }
  if (text[i] != '.' || i == 0 || i + 1 == text.size()) return false;
  const std::size_t fraction = text.size() - ++i;
  for (; i < text.size(); ++i) {
    const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
    if (digit > 9) return false;
    digits = digits * 10 + digit;
  }
  value = static_cast<double>(digits) / kPowersOfTen[fraction];
  return true;
}

// As interpret_reading, which it asks whenever the answer is not plain.
[[gnu::always_inline]] inline Reading read_value(const Metric& metric, std::string_view text) {
  double value;
  if (read_plain_number(text, value) && value >= metric.surely_from && value <= metric.surely_to) {
    return {value, Rejection::kNone};
  }
  return interpret_reading(metric.definition, text);
}

}  // namespace gpu_telemetry::sources::csv
