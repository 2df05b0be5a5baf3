// Bearer tokens (RFC 6750).
#pragma once

#include <string_view>

namespace gpu_telemetry::http {

// The token of an Authorization header; empty when there is none.
std::string_view bearer_token(std::string_view authorization);

// Whether they are the same. Takes as long for a wrong secret as for the right one, wherever the
// two differ. False for an empty one.
bool same_secret(std::string_view given, std::string_view known);

}  // namespace gpu_telemetry::http
