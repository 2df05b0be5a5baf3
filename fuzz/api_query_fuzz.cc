// What the API's clients write: query strings, cursors of pages, and headers that say what they
// would rather have. What is accepted lies within its bounds, and a cursor is one of ours.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/message.h"
#include "services/api_gateway/content_coding.h"
#include "services/api_gateway/media_type.h"
#include "services/api_gateway/page_cursor.h"
#include "services/api_gateway/parameters.h"

namespace gpu_telemetry::services {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_parameters(std::string_view query) {
  http::Request request;
  auto parsed = http::QueryParameters::parse(query);
  if (!parsed) return;
  request.query = std::move(*parsed);
  if (const auto limit = parse_limit(request, 1000); limit && *limit) {
    require(**limit >= 1 && **limit <= 1000);
  }
  (void)parse_time_range(request);
  if (const auto step = parse_step(request); step && *step) require((*step)->count() >= 1);
  if (const auto metrics = parse_metrics(request, 3)) require(metrics->size() <= 3);
  static constexpr std::array<std::string_view, 2> kChoices = {"asc", "desc"};
  if (const auto choice = parse_choice(request, "order", kChoices); choice && *choice) {
    require(**choice == "asc" || **choice == "desc");
  }
  const storage::GpuFilter filter = parse_filter(request);
  (void)filter;
}

void check_cursor(std::string_view text) {
  constexpr std::uint64_t kQuestion = 0x0123456789ABCDEF;
  if (const auto key = decode_cursor(text, kQuestion)) {
    const auto again = decode_cursor(encode_cursor(kQuestion, *key), kQuestion);
    require(again && again->timestamp == key->timestamp && again->metric == key->metric);
  }
  if (const auto gpu = decode_gpu_cursor(text, kQuestion)) {
    const auto again = decode_gpu_cursor(encode_gpu_cursor(kQuestion, *gpu), kQuestion);
    require(again && *again == *gpu);
  }
}

void check_headers(std::string_view text) {
  static constexpr std::array<std::string_view, 3> kOffered = {"application/json", "text/csv",
                                                               "application/x-ndjson"};
  if (const auto chosen = preferred_media_type(text, kOffered)) {
    require(std::find(kOffered.begin(), kOffered.end(), *chosen) != kOffered.end());
  }
  (void)accepts_gzip(text);
  (void)names_tag(text, "\"0123456789abcdef\"");
}

}  // namespace
}  // namespace gpu_telemetry::services

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  gpu_telemetry::services::check_parameters(input);
  gpu_telemetry::services::check_cursor(input);
  gpu_telemetry::services::check_headers(input);
  return 0;
}
