// interpret_reading of metric_catalogue.h: from the text of a value to a number, or to the reason
// why there is none.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <system_error>

#include "domain/metric_catalogue.h"

namespace gpu_telemetry {
namespace {

// DCGM's blank codes: the lowest of each width; one, two and three above it say why.
constexpr std::uint64_t kInt64Blank = 0x7ffffffffffffff0;
constexpr double kInt64BlankRounded = 0x1p63;  // what every int64 blank becomes as a double
constexpr double kDoubleBlank = 140'737'488'355'328.0;
constexpr double kInt32Blank = 2'147'483'632.0;

constexpr std::array<Rejection, 4> kByCode = {Rejection::kBlank, Rejection::kNotFound,
                                              Rejection::kNotSupported, Rejection::kNotPermitted};

constexpr Reading reject(Rejection rejection) { return {0, rejection}; }

// The code that `value` is, counted from `blank`; -1 when it is none of the four.
int code_of(double value, double blank) {
  const double code = value - blank;  // exact near `blank`
  if (code == 0 || code == 1 || code == 2 || code == 3) return static_cast<int>(code);
  return -1;
}

Reading reject_code(int code) { return reject(kByCode[static_cast<std::size_t>(code)]); }

// Numbers of at most this many digits are read without std::from_chars: they and the power of ten
// that they are divided by are exact as doubles, so the division rounds once, as it has to.
constexpr std::ptrdiff_t kShortDigits = 15;
constexpr std::array<double, kShortDigits + 1> kPowersOfTen = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

// Reads `-`, digits, and perhaps a point and digits, of 15 digits in all. False: it is something
// else, which may still be a number.
bool read_short_number(std::string_view text, double& value) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const bool negative = at != end && *at == '-';
  if (negative) ++at;
  if (end - at > kShortDigits + 1) return false;
  std::uint64_t digits = 0;
  const char* const first = at;
  for (; at != end; ++at) {
    const unsigned digit = static_cast<unsigned char>(*at) - unsigned{'0'};
    if (digit > 9) break;
    digits = digits * 10 + digit;
  }
  std::ptrdiff_t count = at - first;
  double number = 0;
  if (at == end) {
    if (count == 0 || count > kShortDigits) return false;
    number = static_cast<double>(digits);
  } else {
    if (*at != '.') return false;
    const char* const fraction = ++at;
    for (; at != end; ++at) {
      const unsigned digit = static_cast<unsigned char>(*at) - unsigned{'0'};
      if (digit > 9) return false;
      digits = digits * 10 + digit;
    }
    count += at - fraction;
    if (count == 0) return false;
    number = static_cast<double>(digits) / kPowersOfTen[static_cast<std::size_t>(at - fraction)];
  }
  value = negative ? -number : number;
  return true;
}

// The text forms of "no value", spaces trimmed. kNone: the text is none of them.
Rejection rejection_by_word(std::string_view text) {
  if (text.empty()) return Rejection::kBlank;
  if (text == "<<<NULL>>>") return Rejection::kBlank;
  if (text == "<<<NOT_FOUND>>>") return Rejection::kNotFound;
  if (text == "<<<NOT_SUPPORTED>>>") return Rejection::kNotSupported;
  if (text == "<<<NOT_PERM>>>") return Rejection::kNotPermitted;
  if (text.front() == '+' || text.front() == '-') text.remove_prefix(1);
  constexpr std::array<std::string_view, 4> kWords = {"n/a", "nan", "inf", "infinity"};
  for (const std::string_view word : kWords) {
    const auto same = [](char a, char b) {
      return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    };
    if (std::equal(text.begin(), text.end(), word.begin(), word.end(), same)) {
      return Rejection::kBlank;
    }
  }
  return Rejection::kNone;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t";
  const std::size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

// Everything that read_short_number leaves: spaces, words, long numbers, exponents, nonsense.
[[gnu::noinline]] Reading interpret_rare(const MetricDefinition* definition,
                                         std::string_view text) {
  text = trim(text);
  const Rejection word = rejection_by_word(text);
  if (word != Rejection::kNone) return reject(word);
  const char* const end = text.data() + text.size();
  if (definition == nullptr || definition->type == MetricType::kInt64) {
    // As an integer first: as a double the codes of an int64 are all the same number.
    std::uint64_t integer = 0;
    const auto [stop, error] = std::from_chars(text.data(), end, integer);
    if (error == std::errc{} && stop == end && integer >= kInt64Blank) {
      const std::uint64_t code = integer - kInt64Blank;
      return code < kByCode.size() ? reject_code(static_cast<int>(code))
                                   : reject(Rejection::kBlank);
    }
  }
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  // "nan(...)" is the one form that from_chars reads and that is neither a number nor a word above.
  if (stop != end || error == std::errc::invalid_argument) return reject(Rejection::kNotANumber);
  if (error != std::errc{}) return reject(Rejection::kOutOfRange);
  return interpret_reading(definition, value);
}

}  // namespace

std::string_view to_string(Rejection rejection) {
  switch (rejection) {
    case Rejection::kNone:
      return "none";
    case Rejection::kBlank:
      return "blank";
    case Rejection::kNotFound:
      return "not_found";
    case Rejection::kNotSupported:
      return "not_supported";
    case Rejection::kNotPermitted:
      return "not_permitted";
    case Rejection::kNotANumber:
      return "not_a_number";
    case Rejection::kOutOfRange:
      break;
  }
  return "out_of_range";
}

Reading interpret_reading(const MetricDefinition* definition, double value) {
  if (!std::isfinite(value)) return reject(Rejection::kBlank);
  if (value >= kInt32Blank) {  // below it there is no code
    const int double_code = code_of(value, kDoubleBlank);
    if (definition == nullptr) {
      if (double_code >= 0) return reject_code(double_code);
      if (value >= kInt64BlankRounded) return reject(Rejection::kBlank);
      return {value, Rejection::kNone};
    }
    if (definition->type == MetricType::kDouble && value >= kDoubleBlank) {
      return double_code >= 0 ? reject_code(double_code) : reject(Rejection::kBlank);
    }
    if (definition->type == MetricType::kInt64 && value >= kInt64BlankRounded) {
      return reject(Rejection::kBlank);
    }
    if (const int code = code_of(value, kInt32Blank); definition->int32_blanks && code >= 0) {
      return reject_code(code);
    }
  }
  if (definition != nullptr && (value < definition->valid_min || value > definition->valid_max)) {
    return reject(Rejection::kOutOfRange);
  }
  return {value, Rejection::kNone};
}

Reading interpret_reading(const MetricDefinition* definition, std::string_view text) {
  double value = 0;
  if (read_short_number(text, value)) return interpret_reading(definition, value);
  return interpret_rare(definition, text);
}

}  // namespace gpu_telemetry
