// Percent-decoding of paths and queries: what comes out is UTF-8, and encoding it again and
// decoding that gives the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/encoding.h"
#include "http/message.h"

namespace gpu_telemetry::http {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kHex[byte >> 4];
    encoded += kHex[byte & 15];
  }
  return encoded;
}

void check_path(std::string_view input) {
  const Result<std::string> path = percent_decode(input, Plus::kItself);
  if (!path) return;
  require(is_valid_utf8(*path));
  require(path->size() <= input.size());
  const Result<std::string> again = percent_decode(encode(*path), Plus::kItself);
  require(again && *again == *path);
}

void check_query(std::string_view input) {
  const Result<QueryParameters> query = QueryParameters::parse(input);
  if (!query) {
    require(is_valid_utf8(query.error().message));
    return;
  }
  std::string encoded;
  for (const auto& [name, value] : query->all()) {
    if (!encoded.empty()) encoded += '&';
    encoded += encode(name) + "=" + encode(value);
  }
  const Result<QueryParameters> again = QueryParameters::parse(encoded);
  require(again && again->all() == query->all());
}

}  // namespace
}  // namespace gpu_telemetry::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  gpu_telemetry::http::check_path(input);
  gpu_telemetry::http::check_query(input);
  return 0;
}
