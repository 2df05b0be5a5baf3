// The head of a response as bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace gpu_telemetry::http {

// What the server decides about a response.
struct ResponseFraming {
  std::optional<std::uint64_t> content_length;  // none: chunked, or until close
  bool chunked = false;
  bool close = false;
  bool say_keep_alive = false;  // to an HTTP/1.0 client that asked
  std::string_view date;        // IMF-fixdate
  std::string_view request_id;  // empty: none
};

// Whether a response of this status never has a body (RFC 9110 section 6.4.1).
bool has_no_body(int status);

// Why a handler's response cannot be sent: a status that is none, or a header that would break the
// head's lines. Empty: it can.
std::string_view response_defect(const Response& response);

// Appends status line, headers and the empty line. Headers of the response that belong to the
// server are left out.
void append_head(std::string& out, const Response& response, const ResponseFraming& framing);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7) of seconds since 1970.
std::string imf_fixdate(std::int64_t unix_seconds);

}  // namespace gpu_telemetry::http
