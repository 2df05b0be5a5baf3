// How a log line is written, apart from where it goes. For log.cc and its tests.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "domain/time.h"
#include "observability/log.h"

namespace gpu_telemetry::observability {

// Upper case, without padding: DEBUG, INFO, WARN, ERROR.
std::string_view level_name(LogLevel level);

// Appends `text` as the inside of a JSON string: escaped, and U+FFFD for each byte that is not part
// of well-formed UTF-8.
void append_json_escaped(std::string& out, std::string_view text);

// One JSON object and a newline. `service` is left out when empty; `time` has three fraction
// digits.
std::string json_log_line(Timestamp time, LogLevel level, std::string_view service,
                          std::string_view message, std::span<const LogField> fields);

// `15:04:05.123 INFO  message key=value` and a newline, in the machine's time zone. Values with
// spaces, quotes or `=` are quoted; control characters are escaped.
std::string text_log_line(Timestamp time, LogLevel level, std::string_view message,
                          std::span<const LogField> fields, bool coloured);

}  // namespace gpu_telemetry::observability
