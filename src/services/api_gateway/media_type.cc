#include "services/api_gateway/media_type.h"

#include <algorithm>
#include <charconv>

#include "http/encoding.h"

namespace gpu_telemetry::services {
namespace {

// One element of such a list: `text/csv;header=present;q=0.5`.
struct Preference {
  std::string_view value;
  double quality = 1;
};

// The next element of a list, which loses it.
Preference next_preference(std::string_view& list) {
  std::string_view element = list.substr(0, list.find(','));
  list.remove_prefix(std::min(element.size() + 1, list.size()));
  Preference preference;
  preference.value = http::trim(element.substr(0, element.find(';')));
  while (element.find(';') != std::string_view::npos) {
    element.remove_prefix(element.find(';') + 1);
    const std::string_view parameter = http::trim(element.substr(0, element.find(';')));
    if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
    const std::string_view number = parameter.substr(2);
    double quality = 0;
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), quality);
    if (error == std::errc{} && end == number.data() + number.size()) {
      preference.quality = std::clamp(quality, 0.0, 1.0);
    }
  }
  return preference;
}

// How exactly a range such as `text/*` says a type; 0: not at all.
int precision(std::string_view range, std::string_view type) {
  if (http::equal_ignoring_case(range, type)) return 3;
  if (range == "*/*") return 1;
  const std::string_view family = type.substr(0, type.find('/') + 1);
  const bool is_family = range.size() == family.size() + 1 && range.ends_with("/*") &&
                         http::equal_ignoring_case(range.substr(0, family.size()), family);
  return is_family ? 2 : 0;
}

}  // namespace

std::optional<std::string_view> preferred_media_type(std::string_view accept,
                                                     std::span<const std::string_view> offered) {
  if (http::trim(accept).empty()) return offered.front();
  std::optional<std::string_view> best;
  double best_quality = 0;
  for (const std::string_view type : offered) {
    double quality = 0;
    int most_precise = 0;
    for (std::string_view left = accept; !left.empty();) {
      const Preference preference = next_preference(left);
      const int how = precision(preference.value, type);
      if (how <= most_precise) continue;
      most_precise = how;
      quality = preference.quality;
    }
    if (quality > best_quality) {
      best = type;
      best_quality = quality;
    }
  }
  return best;
}

bool accepts_gzip(std::string_view accept_encoding) {
  std::optional<double> gzip;
  std::optional<double> any;
  double plain = 0;
  for (std::string_view left = accept_encoding; !left.empty();) {
    const Preference preference = next_preference(left);
    if (http::equal_ignoring_case(preference.value, "gzip") ||
        http::equal_ignoring_case(preference.value, "x-gzip")) {
      gzip = preference.quality;
    } else if (http::equal_ignoring_case(preference.value, "identity")) {
      plain = preference.quality;
    } else if (preference.value == "*") {
      any = preference.quality;
    }
  }
  const double quality = gzip.value_or(any.value_or(0));
  return quality > 0 && quality >= plain;
}

}  // namespace gpu_telemetry::services
