#include "http/head_parser.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "http/encoding.h"

namespace gpu_telemetry::http {
namespace {

constexpr std::size_t kLongestMethod = 32;
constexpr std::size_t kRequestLineRest = kLongestMethod + sizeof("  HTTP/1.1\r\n");

constexpr std::array<std::pair<std::string_view, Method>, 9> kMethods = {{
    {"GET", Method::kGet},
    {"POST", Method::kPost},
    {"HEAD", Method::kHead},
    {"PUT", Method::kPut},
    {"DELETE", Method::kDelete},
    {"PATCH", Method::kPatch},
    {"OPTIONS", Method::kOptions},
    {"TRACE", Method::kTrace},
    {"QUERY", Method::kQuery},
}};

// What may stand in a line of a head: visible characters, space, tab, and bytes past ASCII.
bool is_line_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

HeadProblem bad_request(std::string_view detail) { return HeadProblem{400, detail}; }

std::optional<HeadProblem> parse_version(std::string_view text, int& minor) {
  if (text == "HTTP/1.1") {
    minor = 1;
    return std::nullopt;
  }
  if (text == "HTTP/1.0") {
    minor = 0;
    return std::nullopt;
  }
  const bool shaped = text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[6] == '.' &&
                      text[5] >= '0' && text[5] <= '9' && text[7] >= '0' && text[7] <= '9';
  if (!shaped) return bad_request("the version must be HTTP/1.1 or HTTP/1.0");
  if (text[5] == '1') {  // RFC 9110 section 2.5: a later minor version is answered as 1.1
    minor = 1;
    return std::nullopt;
  }
  return HeadProblem{505, "the only versions known here are HTTP/1.1 and HTTP/1.0"};
}

std::optional<HeadProblem> read_content_length(std::string_view value, Framing& framing) {
  std::uint64_t length = 0;
  const char* const end = value.data() + value.size();
  const bool digits = !value.empty() && std::all_of(value.begin(), value.end(),
                                                    [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return bad_request("Content-Length must be a decimal number");
  const auto [rest, error] = std::from_chars(value.data(), end, length);
  if (error != std::errc{} || rest != end) {
    return HeadProblem{413, "Content-Length is larger than any number this server can hold"};
  }
  if (framing.content_length && *framing.content_length != length) {
    return bad_request("two Content-Length headers differ");
  }
  framing.content_length = length;
  return std::nullopt;
}

// uri-host [ ":" port ] (RFC 9110 section 7.2), or nothing, as far as its characters say. An IPv6
// address has brackets.
bool is_host(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~!$&'()*+;=%:[]").find(c) != std::string_view::npos;
  });
}

// Calls `take` with each member of a comma-separated list that is not empty.
template <class Take>
void for_each_member(std::string_view list, Take take) {
  for (;;) {
    const std::size_t comma = list.find(',');
    const std::string_view member = trim(list.substr(0, comma));
    if (!member.empty()) take(member);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

std::optional<HeadProblem> read_field(std::string_view name, std::string_view value,
                                      Framing& framing) {
  if (equal_ignoring_case(name, "Content-Length")) return read_content_length(value, framing);
  if (equal_ignoring_case(name, "Transfer-Encoding")) {
    if (framing.chunked) return bad_request("there is more than one Transfer-Encoding header");
    if (!equal_ignoring_case(value, "chunked")) {
      return HeadProblem{501, "the only transfer coding that this server knows is chunked"};
    }
    framing.chunked = true;
  } else if (equal_ignoring_case(name, "Connection")) {
    for_each_member(value, [&](std::string_view option) {
      if (equal_ignoring_case(option, "close")) framing.close = true;
      if (equal_ignoring_case(option, "keep-alive")) framing.keep_alive = true;
    });
  } else if (equal_ignoring_case(name, "Expect")) {
    if (!equal_ignoring_case(value, "100-continue")) {
      return HeadProblem{417, "the only expectation that this server knows is 100-continue"};
    }
    framing.expect_continue = true;
  } else if (equal_ignoring_case(name, "Host")) {
    ++framing.hosts;
    if (!is_host(value)) return bad_request("the Host header must be HOST or HOST:PORT");
  }
  return std::nullopt;
}

}  // namespace

HeadScanner::State HeadScanner::refuse(int status, std::string_view detail) {
  problem_ = HeadProblem{status, detail};
  return State::kProblem;
}

HeadScanner::State HeadScanner::check_size() {
  if (first_line_ == 0) {
    if (scanned_ > limits_.target + kRequestLineRest) {
      return refuse(414, "the first line is too long");
    }
  } else if (scanned_ - first_line_ > limits_.fields) {
    return refuse(431, "the header lines are too long");
  }
  return State::kNeedMore;
}

HeadScanner::State HeadScanner::scan(std::string_view input) {
  while (scanned_ < input.size()) {
    const char c = input[scanned_];
    if (is_line_char(c)) {
      const bool folded = scanned_ == line_start_ && (c == ' ' || c == '\t');
      if (folded) return refuse(400, "a line of the head must not start with a space or a tab");
      ++scanned_;
      continue;
    }
    if (c != '\r') {
      return refuse(400, c == '\n' ? std::string_view("a line of the head must end with CR LF")
                                   : std::string_view("the head has a control character"));
    }
    if (scanned_ + 1 == input.size()) break;  // the LF is still to come
    if (input[scanned_ + 1] != '\n') return refuse(400, "the head has a CR without an LF");
    const bool empty_line = scanned_ == line_start_;
    scanned_ += 2;
    line_start_ = scanned_;
    if (first_line_ == 0) {
      if (empty_line) return refuse(400, "the head starts with an empty line");
      if (check_size() == State::kProblem) return State::kProblem;
      first_line_ = scanned_;
    } else if (empty_line) {
      if (check_size() == State::kProblem) return State::kProblem;
      return State::kComplete;
    }
  }
  return check_size();
}

std::optional<HeadProblem> parse_request_line(std::string_view line, RequestLine& out) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return bad_request("the first line must be METHOD TARGET HTTP/1.1");
  }
  const std::string_view method = line.substr(0, first);
  out.target = line.substr(first + 1, last - first - 1);
  if (!is_token(method)) return bad_request("the method must be a token");
  const bool visible = std::all_of(out.target.begin(), out.target.end(),
                                   [](char c) { return c > 0x20 && c < 0x7F; });
  if (out.target.empty() || !visible) {
    return bad_request("the target must be visible ASCII characters, others percent-encoded");
  }
  if (const auto problem = parse_version(line.substr(last + 1), out.minor_version)) return problem;
  const auto* const known = std::find_if(kMethods.begin(), kMethods.end(),
                                         [&](const auto& entry) { return entry.first == method; });
  out.method = known == kMethods.end() ? std::nullopt : std::optional<Method>(known->second);
  return std::nullopt;
}

std::optional<HeadProblem> parse_status_line(std::string_view line, StatusLine& out) {
  // HTTP/1.1 200 OK; the reason may be missing, and some servers leave out its space too.
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) {
    return bad_request("the status line must be HTTP/1.1 STATUS REASON");
  }
  if (const auto problem = parse_version(line.substr(0, 8), out.minor_version)) return problem;
  const char* const end = line.data() + 12;
  const auto [rest, error] = std::from_chars(line.data() + 9, end, out.status);
  if (error != std::errc{} || rest != end || out.status < 100 || out.status > 599) {
    return bad_request("the status must be a number from 100 to 599");
  }
  return std::nullopt;
}

std::optional<HeadProblem> parse_fields(std::string_view lines, std::size_t max_fields,
                                        Headers& headers, Framing& framing) {
  std::size_t count = 0;
  for (;;) {
    const std::size_t end = lines.find("\r\n");
    if (end == std::string_view::npos || end == 0) break;
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const std::string_view name = line.substr(0, line.find(':'));
    if (name.size() == line.size() || !is_token(name)) {
      return bad_request("a header line must be NAME: VALUE, without a space before the colon");
    }
    if (++count > max_fields) return HeadProblem{431, "there are too many header lines"};
    const std::string_view value = trim(line.substr(name.size() + 1));
    if (auto problem = read_field(name, value, framing)) return problem;
    headers.add(std::string(name), std::string(value));
  }
  if (framing.chunked && framing.content_length) {
    return bad_request("Transfer-Encoding and Content-Length exclude each other");
  }
  return std::nullopt;
}

std::optional<HeadProblem> check_request_framing(const RequestLine& line, const Framing& framing) {
  if (framing.hosts > 1) return bad_request("there is more than one Host header");
  if (line.minor_version == 1 && framing.hosts == 0) {
    return bad_request("an HTTP/1.1 request must have a Host header");
  }
  if (line.minor_version == 0 && framing.chunked) {
    return bad_request("an HTTP/1.0 request cannot have a Transfer-Encoding header");
  }
  return std::nullopt;
}

std::optional<HeadProblem> split_target(std::string_view target, Target& out) {
  if (target[0] != '/' && target != "*") {
    const std::size_t scheme = target.find("://");
    const std::string_view name = target.substr(0, scheme);
    if (!equal_ignoring_case(name, "http") && !equal_ignoring_case(name, "https")) {
      return bad_request("the target must start with '/'");
    }
    target.remove_prefix(scheme + 3);
    const std::size_t path = target.find_first_of("/?");
    if (path == 0) return bad_request("the target names no host");
    out.authority = target.substr(0, path);
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  }
  if (target.find('#') != std::string_view::npos) {
    return bad_request("the target must not have a fragment ('#')");
  }
  out.path = target.substr(0, target.find('?'));
  out.query =
      out.path.size() == target.size() ? std::string_view{} : target.substr(out.path.size() + 1);
  if (out.path.empty()) out.path = "/";
  return std::nullopt;
}

std::optional<HeadProblem> check_same_host(const Target& target, std::string_view host) {
  if (target.authority.empty() || equal_ignoring_case(target.authority, host)) return std::nullopt;
  return bad_request("the target and the Host header name different hosts");
}

}  // namespace gpu_telemetry::http
