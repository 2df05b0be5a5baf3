// Who may ask: bearer tokens (RFC 6750), and what each may do.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"
#include "domain/result.h"

namespace gpu_telemetry::services {

enum class ApiRole {
  kNone,   // no token, or one that nobody was given
  kRead,   // GET
  kAdmin,  // and what changes something
};

// Reads a line for each token: `TOKEN`, `TOKEN:read` or `TOKEN:admin`; empty lines and those that
// begin with `#` are skipped. Thread-safe.
class ApiTokens {
 public:
  // `text` gives the file's text as it is now; it is called for each request, and must be cheap.
  explicit ApiTokens(std::function<std::string()> text) : text_(std::move(text)) {}

  // What the bearer of an Authorization header may do. How long it takes does not depend on which
  // token was nearly right.
  ApiRole role_of(std::string_view authorization);

  // Errors: kInvalid, naming the line, for a role that is none and for a token shorter than 16
  // characters or with others than those of RFC 6750 section 2.1. Messages never have the token.
  static Result<void> check(std::string_view text);

 private:
  struct Token {
    std::string text;
    ApiRole role = ApiRole::kRead;
  };
  using List = std::vector<Token>;
  static Result<List> parse(std::string_view text);
  std::shared_ptr<const List> tokens();

  const std::function<std::string()> text_;
  concurrency::Mutex mutex_;
  std::string parsed_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  std::shared_ptr<const List> tokens_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

// For ApiTokens: the text of a file, which is looked at once a second at most, when somebody asks.
// While it cannot be read, or has a line that is wrong, what it said before stays, and the log says
// so once. `clock` outlives it. Errors: as io::read_file and ApiTokens::check, naming the path.
Result<std::function<std::string()>> open_tokens_file(const std::string& path, const Clock& clock);

}  // namespace gpu_telemetry::services
