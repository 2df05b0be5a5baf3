// The reading layer of the server: the head of a request, its target and a chunked body. The same
// bytes must be understood the same however they are torn, because that is what keeps two readers
// of one connection from disagreeing about where a request ends.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/chunk_decoder.h"
#include "http/encoding.h"
#include "http/head_parser.h"

namespace gpu_telemetry::http {
namespace {

constexpr HeadLimits kLimits{256, 1024, 16};
constexpr std::uint64_t kMaxBody = 4096;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Scanned {
  HeadScanner::State state = HeadScanner::State::kNeedMore;
  std::size_t head_size = 0;
  std::size_t first_line = 0;
};

Scanned scan(std::string_view input, std::size_t step) {
  HeadScanner scanner(kLimits);
  Scanned result;
  std::size_t given = 0;
  while (result.state == HeadScanner::State::kNeedMore && given < input.size()) {
    given = std::min(input.size(), given + step);
    result.state = scanner.scan(input.substr(0, given));
  }
  result.head_size = scanner.head_size();
  result.first_line = scanner.first_line_size();
  return result;
}

struct Decoded {
  ChunkDecoder::State state = ChunkDecoder::State::kNeedMore;
  std::size_t consumed = 0;
  std::string body;
};

Decoded decode(std::string_view input, std::size_t step) {
  ChunkDecoder decoder(kMaxBody);
  Decoded result;
  while (result.state == ChunkDecoder::State::kNeedMore && result.consumed < input.size()) {
    std::size_t consumed = 0;
    result.state = decoder.decode(input.substr(result.consumed, step), result.body, consumed);
    result.consumed += consumed;
  }
  return result;
}

void check_chunks(std::string_view input) {
  const Decoded whole = decode(input, input.size() + 1);
  const Decoded torn = decode(input, 1);
  require(whole.state == torn.state && whole.consumed == torn.consumed && whole.body == torn.body);
  require(whole.body.size() <= kMaxBody);
}

void check_head(std::string_view head, std::size_t first_line) {
  RequestLine line;
  if (parse_request_line(head.substr(0, first_line - 2), line)) return;
  Headers headers;
  Framing framing;
  if (parse_fields(head.substr(first_line), kLimits.max_fields, headers, framing)) return;
  require(headers.all().size() <= kLimits.max_fields);
  require(!(framing.chunked && framing.content_length));
  for (const auto& [name, value] : headers.all()) {
    require(is_token(name));
    require(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  if (check_request_framing(line, framing)) return;
  Target target;
  if (split_target(line.target, target)) return;
  require(!target.path.empty() && (target.path[0] == '/' || target.path == "*"));
}

void check(std::string_view input) {
  const Scanned whole = scan(input, input.size() + 1);
  const Scanned torn = scan(input, 1);
  // What is too long is found sooner when it comes in small pieces; all else must agree.
  if (whole.state == HeadScanner::State::kComplete) {
    require(torn.state == whole.state && torn.head_size == whole.head_size);
    check_head(input.substr(0, whole.head_size), whole.first_line);
    check_chunks(input.substr(whole.head_size));
  } else {
    require(torn.state == whole.state);
  }
  check_chunks(input);
  StatusLine status;
  parse_status_line(input.substr(0, input.find('\r')), status);
}

}  // namespace
}  // namespace gpu_telemetry::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gpu_telemetry::http::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
