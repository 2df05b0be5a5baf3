// Writing JSON (RFC 8259) by appending to a string, which is what answers of many numbers need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gpu_telemetry::services::json {

// Appends `text` in quotes. Bytes that are not UTF-8 become U+FFFD, so that the document is valid
// whatever an exporter wrote into a label.
void append_string(std::string& out, std::string_view text);

// Appends the shortest decimal that reads back as the same double; `value` is finite.
void append_number(std::string& out, double value);

// The same, written to `out`, which has room for kNumberMaxSize characters. Returns the end.
inline constexpr std::size_t kNumberMaxSize = 32;
char* put_number(char* out, double value);
// Of an integer, in at most kIntegerMaxSize characters.
inline constexpr std::size_t kIntegerMaxSize = 20;
char* put_integer(char* out, std::int64_t value);

// Appends `"name":` after a comma unless an object or array has just begun.
void append_key(std::string& out, std::string_view name);

// Both at once.
void append_member(std::string& out, std::string_view name, std::string_view text);

}  // namespace gpu_telemetry::services::json
