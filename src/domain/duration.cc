#include "domain/duration.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace gpu_telemetry {
namespace {

struct Unit {
  std::string_view name;
  double size;
};

constexpr std::array<Unit, 8> kDurationUnits = {{{"ns", 1},
                                                 {"us", 1e3},
                                                 {"µs", 1e3},
                                                 {"ms", 1e6},
                                                 {"s", 1e9},
                                                 {"m", 60e9},
                                                 {"h", 3600e9},
                                                 {"d", 86400e9}}};

constexpr std::array<Unit, 21> kByteUnits = {
    {{"", 1},         {"B", 1},          {"kB", 1e3},        {"KB", 1e3},        {"k", 1e3},
     {"K", 1e3},      {"MB", 1e6},       {"M", 1e6},         {"GB", 1e9},        {"G", 1e9},
     {"TB", 1e12},    {"T", 1e12},       {"KiB", 1024.0},    {"Ki", 1024.0},     {"MiB", 1048576.0},
     {"Mi", 1048576.0}, {"GiB", 1073741824.0}, {"Gi", 1073741824.0}, {"TiB", 1099511627776.0},
     {"Ti", 1099511627776.0}, {"b", 1}}};

Error malformed_duration(std::string_view text) {
  return invalid("malformed duration '" + std::string(text.substr(0, 40)) +
                 "': expected a number and a unit (ns, us, ms, s, m, h, d), such as 100ms or 1h30m");
}

Error malformed_size(std::string_view text) {
  return invalid("malformed size '" + std::string(text.substr(0, 40)) +
                 "': expected a number of bytes, such as 1000, 512KiB, 64MiB or 1GB");
}

// A plain decimal number (no sign, no exponent) at the front of `text`, which is moved past it.
bool take_number(std::string_view& text, double& number) {
  const std::size_t size = text.find_first_not_of("0123456789.");
  const std::string_view part = text.substr(0, size);
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc{} || end != part.data() + part.size()) return false;
  text.remove_prefix(part.size());
  return true;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::nanoseconds{0};
  if (text.empty()) return malformed_duration(text);
  double total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    double number = 0;
    if (!take_number(rest, number)) return malformed_duration(text);
    const std::string_view name = rest.substr(0, rest.find_first_of("0123456789."));
    double size = 0;
    for (const Unit& unit : kDurationUnits) {
      if (unit.name == name) size = unit.size;
    }
    if (size == 0) return malformed_duration(text);
    total += number * size;
    rest.remove_prefix(name.size());
  }
  if (total >= static_cast<double>(std::numeric_limits<std::int64_t>::max())) {
    return malformed_duration(text);
  }
  return std::chrono::nanoseconds{std::llround(total)};
}

std::string format_duration(std::chrono::nanoseconds duration) {
  std::int64_t left = duration.count();
  if (left == 0) return "0s";
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> kUnits = {
      {{"d", 86'400'000'000'000}, {"h", 3'600'000'000'000}, {"m", 60'000'000'000},
       {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}}};
  std::string text;
  for (const auto& [name, size] : kUnits) {
    if (left / size == 0) continue;
    text += std::to_string(left / size);
    text += name;
    left %= size;
  }
  return text;
}

Result<ByteSize> parse_byte_size(std::string_view text) {
  std::string_view rest = text;
  double number = 0;
  if (!take_number(rest, number)) return malformed_size(text);
  for (const Unit& unit : kByteUnits) {
    if (unit.name != rest) continue;
    const double bytes = number * unit.size;
    if (bytes >= static_cast<double>(std::numeric_limits<std::int64_t>::max())) break;
    return ByteSize{static_cast<std::uint64_t>(std::llround(bytes))};
  }
  return malformed_size(text);
}

std::string format_byte_size(ByteSize size) {
  constexpr std::array<std::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::uint64_t number = size.bytes;
  std::size_t unit = 0;
  while (number != 0 && number % 1024 == 0 && unit + 1 < kNames.size()) {
    number /= 1024;
    ++unit;
  }
  return std::to_string(number) + std::string(kNames[unit]);
}

}  // namespace gpu_telemetry
