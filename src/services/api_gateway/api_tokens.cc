#include "services/api_gateway/api_tokens.h"

#include <algorithm>

#include "http/bearer.h"
#include "http/encoding.h"
#include "io/file_system.h"
#include "observability/log.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::size_t kLeastSize = 16;

// b64token of RFC 6750 section 2.1.
bool is_token_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~+/=").find(c) != std::string_view::npos;
  });
}

}  // namespace

Result<ApiTokens::List> ApiTokens::parse(std::string_view text) {
  List tokens;
  int number = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    line = http::trim(line);
    if (line.empty() || line.front() == '#') continue;
    const auto wrong = [&](std::string_view what) {
      return invalid("line " + std::to_string(number) + " of the API tokens: " + std::string(what));
    };
    Token token;
    const std::size_t colon = line.find(':');
    token.text = line.substr(0, colon);
    if (colon != std::string_view::npos) {
      const std::string_view role = line.substr(colon + 1);
      if (role != "read" && role != "admin") return wrong("after the colon comes read or admin");
      if (role == "admin") token.role = ApiRole::kAdmin;
    }
    if (token.text.size() < kLeastSize) {
      return wrong("a token has at least " + std::to_string(kLeastSize) + " characters");
    }
    if (!is_token_text(token.text)) return wrong("a token is made of letters, digits and -._~+/=");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<void> ApiTokens::check(std::string_view text) {
  const auto parsed = parse(text);
  if (!parsed) return parsed.error();
  return {};
}

std::shared_ptr<const ApiTokens::List> ApiTokens::tokens() {
  std::string text = text_();
  const concurrency::MutexLock lock(mutex_);
  if (tokens_ && text == parsed_) return tokens_;
  auto parsed = parse(text);
  if (parsed) {
    tokens_ = std::make_shared<const List>(std::move(*parsed));
  } else {
    // Those before stay; at the very first there are none, and nobody is let in.
    observability::log_error("the API tokens cannot be read; those before stay",
                             {{"error", parsed.error().message}});
    if (!tokens_) tokens_ = std::make_shared<const List>();
  }
  parsed_ = std::move(text);
  return tokens_;
}

namespace {

constexpr std::uint64_t kLargestFile = 64 * 1024;
constexpr std::chrono::seconds kBetweenLooks{1};

class TokensFile {
 public:
  TokensFile(std::string path, const Clock& clock) : path_(std::move(path)), clock_(clock) {}

  Result<void> look() {
    auto text = io::read_file(io::posix_file_system(), path_, kLargestFile);
    if (!text) return text.error();
    const auto checked = ApiTokens::check(*text);
    if (!checked) return checked.error().at(path_);
    const concurrency::MutexLock lock(mutex_);
    text_ = std::move(*text);
    looked_ = clock_.steady_now();
    failed_ = false;
    return {};
  }

  std::string text() {
    bool due = false;
    {
      const concurrency::MutexLock lock(mutex_);
      const SteadyTime now = clock_.steady_now();
      due = now - looked_ >= kBetweenLooks;
      if (due) looked_ = now;
    }
    if (due) note(look());
    const concurrency::MutexLock lock(mutex_);
    return text_;
  }

 private:
  void note(const Result<void>& looked) {
    if (looked) return;
    const concurrency::MutexLock lock(mutex_);
    if (!failed_) {
      observability::log_error("the file of API tokens cannot be used; what it said before stays",
                               {{"error", looked.error().message}});
    }
    failed_ = true;
  }

  const std::string path_;
  const Clock& clock_;
  concurrency::Mutex mutex_;
  std::string text_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  SteadyTime looked_ GPU_TELEMETRY_GUARDED_BY(mutex_){};
  bool failed_ GPU_TELEMETRY_GUARDED_BY(mutex_) = false;
};

}  // namespace

Result<std::function<std::string()>> open_tokens_file(const std::string& path, const Clock& clock) {
  const auto file = std::make_shared<TokensFile>(path, clock);
  if (auto looked = file->look(); !looked) return looked.error();
  std::function<std::string()> text = [file] { return file->text(); };
  return text;
}

ApiRole ApiTokens::role_of(std::string_view authorization) {
  const std::string_view given = http::bearer_token(authorization);
  ApiRole role = ApiRole::kNone;
  for (const Token& token : *tokens()) {
    const bool same = http::same_secret(given, token.text);
    if (same) role = std::max(role, token.role);
  }
  return role;
}

}  // namespace gpu_telemetry::services
