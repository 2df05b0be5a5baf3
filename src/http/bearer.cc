#include "http/bearer.h"

#include <cstddef>

#include "http/encoding.h"

namespace gpu_telemetry::http {

std::string_view bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return {};
  return trim(authorization.substr(kScheme.size()));
}

bool same_secret(std::string_view given, std::string_view known) {
  if (known.empty()) return false;
  unsigned difference = given.size() == known.size() ? 0U : 1U;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = known[i % known.size()];
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(other);
  }
  // Not to be seen through by the optimiser, which would stop early.
  volatile unsigned result = difference;
  return result == 0;
}

}  // namespace gpu_telemetry::http
