#include <algorithm>

#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {
namespace {

// What may stand in the query of a URL (RFC 3986 section 3.4); the rest, such as the `>` that would
// end the link, is percent-encoded.
bool may_stand(char c) {
  constexpr std::string_view kOthers = "-._~!$&'()*+,;=:@/?%";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOthers.find(c) != std::string_view::npos;
}

void append_encoded(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    if (may_stand(c)) {
      out += c;
    } else {
      out += '%';
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 0xF];
    }
  }
}

}  // namespace

std::string link_to_next(const http::Request& request, std::string_view cursor) {
  std::string link = "<" + request.path + "?";
  std::string_view left = request.raw_query;
  while (!left.empty()) {
    const std::string_view pair = left.substr(0, left.find('&'));
    left.remove_prefix(std::min(pair.size() + 1, left.size()));
    if (pair.empty() || pair.substr(0, pair.find('=')) == "cursor") continue;
    append_encoded(link, pair);
    link += '&';
  }
  link += "cursor=";
  link += cursor;
  return link + ">; rel=\"next\"";
}

}  // namespace gpu_telemetry::services
