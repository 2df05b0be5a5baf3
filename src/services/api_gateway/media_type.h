// What a client would rather have: the Accept and Accept-Encoding headers (RFC 9110 section 12.5).
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace gpu_telemetry::services {

// The first of `offered` among those that `accept` likes best; nothing when it likes none. An empty
// header likes all.
std::optional<std::string_view> preferred_media_type(std::string_view accept,
                                                     std::span<const std::string_view> offered);

// Whether `accept_encoding` takes gzip, and likes it no less than the plain body.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace gpu_telemetry::services
