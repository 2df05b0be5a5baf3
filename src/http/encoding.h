// Percent-encoding, UTF-8 and tokens: the small grammars that requests are made of.
#pragma once

#include <string>
#include <string_view>

#include "domain/result.h"

namespace gpu_telemetry::http {

// What `+` stands for: itself in a path, a space in a query or a form.
enum class Plus { kItself, kSpace };

// Decodes %XX (RFC 3986 section 2.1). Errors: kInvalid for a `%` without two hexadecimal digits
// after it, and for a result that is not UTF-8.
Result<std::string> percent_decode(std::string_view text, Plus plus);

// RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_valid_utf8(std::string_view text);

// RFC 9110 section 5.6.2: at least one letter, digit or one of !#$%&'*+-.^_`|~
bool is_token(std::string_view text);
bool is_token_char(char c);

// Whether two ASCII texts are the same but for the case of letters.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// Without the spaces and tabs at both ends.
std::string_view trim(std::string_view text);

// A JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace gpu_telemetry::http
