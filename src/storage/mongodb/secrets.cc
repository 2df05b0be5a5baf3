#include "storage/mongodb/secrets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "concurrency/thread_annotations.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

using concurrency::Mutex;
using concurrency::MutexLock;

constexpr std::string_view kMask = "***";

// Of the options of a URI, in lower case.
constexpr std::array<std::string_view, 3> kSecretOptions = {
    "tlscertificatekeyfilepassword", "sslclientcertificatekeypassword", "authmechanismproperties"};

struct Secrets {
  Mutex mutex;
  // Longest first, so that a whole is masked before its parts.
  std::vector<std::string> values GPU_TELEMETRY_GUARDED_BY(mutex);
};

Secrets& secrets() {
  static Secrets instance;
  return instance;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

void add(std::vector<std::string>& found, std::string_view secret) {
  if (secret.empty()) return;
  found.emplace_back(secret);
  std::string decoded = percent_decoded(secret);
  if (decoded != secret) found.push_back(std::move(decoded));
}

void add_option(std::vector<std::string>& found, std::string_view option) {
  const auto equals = option.find('=');
  if (equals == std::string_view::npos) return;
  std::string name(option.substr(0, equals));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::find(kSecretOptions.begin(), kSecretOptions.end(), name) != kSecretOptions.end()) {
    add(found, option.substr(equals + 1));
  }
}

std::vector<std::string> secrets_of(std::string_view uri) {
  std::vector<std::string> found;
  const auto scheme = uri.find("://");
  std::string_view rest = scheme == std::string_view::npos ? uri : uri.substr(scheme + 3);
  // The last one: a password with a bare `@` is wrong, and still secret.
  const auto at = rest.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view user_info = rest.substr(0, at);
    const auto colon = user_info.find(':');
    if (colon != std::string_view::npos) {
      add(found, user_info);
      add(found, user_info.substr(colon + 1));
    }
    rest = rest.substr(at + 1);
  }
  const auto question = rest.find('?');
  if (question == std::string_view::npos) return found;
  rest = rest.substr(question + 1);
  while (!rest.empty()) {
    const auto end = std::min(rest.find_first_of("&;"), rest.size());
    add_option(found, rest.substr(0, end));
    rest = rest.substr(std::min(end + 1, rest.size()));
  }
  return found;
}

void mask_all(std::string& text, std::string_view secret) {
  for (auto place = text.find(secret); place != std::string::npos;
       place = text.find(secret, place + kMask.size())) {
    text.replace(place, secret.size(), kMask);
  }
}

}  // namespace

void remember_secrets(std::string_view uri) {
  std::vector<std::string> found = secrets_of(uri);
  const MutexLock lock(secrets().mutex);
  auto& values = secrets().values;
  for (std::string& secret : found) {
    if (std::find(values.begin(), values.end(), secret) == values.end()) {
      values.push_back(std::move(secret));
    }
  }
  std::sort(values.begin(), values.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

std::string without_secrets(std::string_view text) {
  std::string clean(text);
  {
    const MutexLock lock(secrets().mutex);
    for (const std::string& secret : secrets().values) mask_all(clean, secret);
  }
  // Another client's URI, or one that the server sent back.
  for (auto scheme = clean.find("://"); scheme != std::string::npos;) {
    const std::size_t begin = scheme + 3;
    const std::size_t end = std::min(clean.find_first_of(" \t\n\"'/", begin), clean.size());
    const auto at = clean.rfind('@', end);
    if (at != std::string::npos && at >= begin && at < end) {
      clean.replace(begin, at - begin, kMask);
    }
    scheme = clean.find("://", begin);
  }
  return clean;
}

}  // namespace gpu_telemetry::storage::mongodb
