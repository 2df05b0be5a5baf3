#include "domain/duration.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <optional>
#include <span>
#include <utility>

namespace gpu_telemetry {
namespace {

__extension__ using Wide = unsigned __int128;

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMinute = 60 * kSecond;
constexpr std::uint64_t kHour = 60 * kMinute;
constexpr std::uint64_t kDay = 24 * kHour;

// "µs" is written with the micro sign (U+00B5) or with the Greek letter (U+03BC), as Go has it.
constexpr Unit kDurationUnits[] = {
    {"ns", 1},      {"us", 1'000},  {"\xC2\xB5s", 1'000}, {"\xCE\xBCs", 1'000}, {"ms", 1'000'000},
    {"s", kSecond}, {"m", kMinute}, {"h", kHour},         {"d", kDay}};

constexpr std::uint64_t kThousand = 1'000;
constexpr std::uint64_t kMillion = kThousand * kThousand;
constexpr std::uint64_t kBillion = kThousand * kMillion;
constexpr std::uint64_t kTrillion = kThousand * kBillion;
constexpr Unit kByteUnits[] = {{"", 1},
                               {"B", 1},
                               {"b", 1},
                               {"k", kThousand},
                               {"K", kThousand},
                               {"kB", kThousand},
                               {"KB", kThousand},
                               {"M", kMillion},
                               {"MB", kMillion},
                               {"G", kBillion},
                               {"GB", kBillion},
                               {"T", kTrillion},
                               {"TB", kTrillion},
                               {"Ki", 1ULL << 10},
                               {"KiB", 1ULL << 10},
                               {"Mi", 1ULL << 20},
                               {"MiB", 1ULL << 20},
                               {"Gi", 1ULL << 30},
                               {"GiB", 1ULL << 30},
                               {"Ti", 1ULL << 40},
                               {"TiB", 1ULL << 40}};

std::uint64_t size_of_unit(std::span<const Unit> units, std::string_view name) {
  const auto found = std::ranges::find(units, name, &Unit::name);
  return found == units.end() ? 0 : found->size;
}

Error malformed_duration(std::string_view text) {
  return invalid("malformed duration '" + std::string(text.substr(0, 40)) +
                 "': expected a number and a unit (ns, us, ms, s, m, h, d), such as 100ms or 1h30m"
                 ", of at most 292 years");
}

Error malformed_size(std::string_view text) {
  return invalid("malformed size '" + std::string(text.substr(0, 40)) +
                 "': expected a number of bytes, such as 1000, 512KiB, 64MiB or 1GB");
}

// A plain decimal number (no sign, no exponent). Digits of the fraction past the 18th are dropped:
// of the largest unit they are less than a ten-thousandth of the smallest.
struct Decimal {
  std::uint64_t whole = 0;
  std::uint64_t fraction = 0;  // of `scale`
  std::uint64_t scale = 1;     // a power of ten

  // In units of `unit`, rounded to the nearest.
  Wide times(std::uint64_t unit) const {
    return static_cast<Wide>(whole) * unit +
           (static_cast<Wide>(fraction) * unit + scale / 2) / scale;
  }
};

constexpr std::string_view kNumberCharacters = "0123456789.";

// Takes a number from the front of `text`. Empty: there is none, or it is too large.
std::optional<Decimal> take_number(std::string_view& text) {
  const std::size_t size = std::min(text.find_first_not_of(kNumberCharacters), text.size());
  std::string_view part = text.substr(0, size);
  text.remove_prefix(size);
  Decimal number;
  const std::size_t point = std::min(part.find('.'), part.size());
  if (part.size() == (point < part.size() ? 1U : 0U)) return std::nullopt;  // no digit
  for (const char c : part.substr(0, point)) {
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (__builtin_mul_overflow(number.whole, 10U, &number.whole) ||
        __builtin_add_overflow(number.whole, digit, &number.whole)) {
      return std::nullopt;
    }
  }
  if (point == part.size()) return number;
  part.remove_prefix(point + 1);
  if (part.find('.') != std::string_view::npos) return std::nullopt;
  for (const char c : part.substr(0, 18)) {
    number.fraction = number.fraction * 10 + static_cast<std::uint64_t>(c - '0');
    number.scale *= 10;
  }
  return number;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::nanoseconds{0};
  if (text.empty()) return malformed_duration(text);
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  Wide total = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::optional<Decimal> number = take_number(rest);
    if (!number) return malformed_duration(text);
    const std::string_view name = rest.substr(0, rest.find_first_of(kNumberCharacters));
    const std::uint64_t unit = size_of_unit(kDurationUnits, name);
    if (unit == 0) return malformed_duration(text);
    total += number->times(unit);
    if (total > kMost) return malformed_duration(text);
    rest.remove_prefix(name.size());
  }
  return std::chrono::nanoseconds{static_cast<std::int64_t>(total)};
}

std::string format_duration(std::chrono::nanoseconds duration) {
  if (duration.count() == 0) return "0s";
  std::string text;
  std::uint64_t left = static_cast<std::uint64_t>(duration.count());
  if (duration.count() < 0) {
    text = "-";
    left = 0 - left;
  }
  constexpr std::array<Unit, 3> kWholeUnits = {{{"d", kDay}, {"h", kHour}, {"m", kMinute}}};
  for (const Unit& unit : kWholeUnits) {
    if (left / unit.size == 0) continue;
    text += std::to_string(left / unit.size);
    text += unit.name;
    left %= unit.size;
  }
  if (left == 0) return text;
  constexpr std::array<Unit, 4> kRestUnits = {
      {{"s", kSecond}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}}};
  const Unit& unit = *std::ranges::find_if(
      kRestUnits, [left](const Unit& candidate) { return candidate.size <= left; });
  text += std::to_string(left / unit.size);
  if (left % unit.size != 0) {
    std::string fraction = std::to_string(unit.size + left % unit.size);  // keeps leading zeros
    fraction.front() = '.';
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += fraction;
  }
  text += unit.name;
  return text;
}

Result<ByteSize> parse_byte_size(std::string_view text) {
  std::string_view rest = text;
  const std::optional<Decimal> number = take_number(rest);
  if (!number) return malformed_size(text);
  const std::uint64_t unit = size_of_unit(kByteUnits, rest);
  if (unit == 0) return malformed_size(text);
  const Wide bytes = number->times(unit);
  if (bytes > std::numeric_limits<std::uint64_t>::max()) return malformed_size(text);
  return ByteSize{static_cast<std::uint64_t>(bytes)};
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
