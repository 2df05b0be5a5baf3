// RFC 4648 section 4, padded, without line breaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gpu_telemetry::queue {

std::string encode_base64(std::string_view bytes);
// Nothing when the text is not exactly what encode_base64 makes of some bytes.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace gpu_telemetry::queue
