// The heads of requests and answers (RFC 9112 sections 2 to 6), read strictly: what two readers
// could understand differently is refused, because that is how requests are smuggled past a proxy.
//
// Refused: bare CR or LF, control characters, folded header lines, a space before a colon, unknown
// transfer codings, Transfer-Encoding beside Content-Length, Content-Length values that differ or
// are not plain decimal numbers, anything but exactly one Host in an HTTP/1.1 request, a Host that
// is none, and a target that names another host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace gpu_telemetry::http {

// Why a message is refused: the status of the answer, and a sentence for its detail.
struct HeadProblem {
  int status = 400;
  std::string_view detail;
};

struct HeadLimits {
  std::size_t target = 8 << 10;   // 414 past it
  std::size_t fields = 16 << 10;  // all header lines together; 431 past it
  std::size_t max_fields = 128;   // their number; 431 past it
};

// Finds the end of a head in bytes that arrive piecemeal, looking at each byte once.
class HeadScanner {
 public:
  enum class State { kNeedMore, kComplete, kProblem };

  explicit HeadScanner(const HeadLimits& limits) : limits_(limits) {}
  // For the next head.
  void reset() { scanned_ = line_start_ = first_line_ = 0; }
  // `input` is all the bytes since the head's first one: what was given before, and more.
  State scan(std::string_view input);

  std::size_t first_line_size() const { return first_line_; }  // with its CRLF; 0: not seen yet
  std::size_t head_size() const { return scanned_; }           // with the empty line
  const HeadProblem& problem() const { return problem_; }

 private:
  State refuse(int status, std::string_view detail);
  State check_size();

  HeadLimits limits_;
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  std::size_t first_line_ = 0;
  HeadProblem problem_;
};

// What the header lines say about the message itself.
struct Framing {
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool close = false;       // Connection: close
  bool keep_alive = false;  // Connection: keep-alive
  bool expect_continue = false;
  std::size_t hosts = 0;
};

struct RequestLine {
  std::optional<Method> method;  // none: a method that this server does not know
  std::string_view target;
  int minor_version = 1;  // HTTP/1.x
};

struct StatusLine {
  int status = 0;
  int minor_version = 1;
};

// Each takes text that a scanner passed, and returns why it is refused, or nothing.
std::optional<HeadProblem> parse_request_line(std::string_view line, RequestLine& out);
std::optional<HeadProblem> parse_status_line(std::string_view line, StatusLine& out);
// `lines` are header lines with their CRLFs, the empty line at the end included.
std::optional<HeadProblem> parse_fields(std::string_view lines, std::size_t max_fields,
                                        Headers& headers, Framing& framing);
// What only a request must hold to.
std::optional<HeadProblem> check_request_framing(const RequestLine& line, const Framing& framing);

// A request target in parts: origin-form, or absolute-form, which names its host.
struct Target {
  std::string_view authority;  // HOST or HOST:PORT of absolute-form
  std::string_view path;       // as it was sent
  std::string_view query;
};
std::optional<HeadProblem> split_target(std::string_view target, Target& out);
// Whether the target names the host that the header does, when it names one. RFC 9112 section 3.2.2
// has the header ignored otherwise; who routed the request by the header would not agree.
std::optional<HeadProblem> check_same_host(const Target& target, std::string_view host);

}  // namespace gpu_telemetry::http
