#include "io/secret_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "domain/duration.h"

namespace gpu_telemetry::io {
namespace {

Result<std::string> read_secret(const std::string& path, std::size_t max_size) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    const std::string message = path + " cannot be opened: " + std::strerror(error);
    return error == ENOENT ? not_found(message) : unavailable(message);
  }
  std::string text(max_size + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return unavailable(path + " cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > max_size) {
    return invalid(path + " is longer than such a file may be (" +
                   format_byte_size(ByteSize{max_size}) + ")");
  }
  text.resize(text.find_last_not_of(" \t\r\n") + 1);
  if (text.empty()) return invalid(path + " is empty; expected a secret in it");
  return text;
}

}  // namespace

Result<std::shared_ptr<SecretFile>> SecretFile::open(std::string path, const Clock& clock,
                                                     OnChange on_change, std::size_t max_size) {
  auto text = read_secret(path, max_size);
  if (!text) return text.error();
  std::shared_ptr<SecretFile> secret(
      new SecretFile(std::move(path), clock, std::move(on_change), max_size));
  const concurrency::MutexLock lock(secret->mutex_);
  secret->text_ = std::move(*text);
  secret->looked_ = clock.steady_now();
  return secret;
}

std::string SecretFile::text() { return look(false); }

std::string SecretFile::refreshed_text() { return look(true); }

std::string SecretFile::look(bool now) {
  constexpr std::chrono::seconds kOften{1};
  std::optional<Result<void>> change;
  std::string text;
  {
    const concurrency::MutexLock lock(mutex_);
    const SteadyTime time = clock_.steady_now();
    if (now || time - looked_ >= kOften) {
      looked_ = time;
      auto read = read_secret(path_, max_size_);
      if (!read && read.error().message != trouble_) {
        trouble_ = read.error().message;
        change = read.error();
      } else if (read) {
        trouble_.clear();
        if (*read != text_) change = Result<void>();
        text_ = std::move(*read);
      }
    }
    text = text_;
  }
  if (change && on_change_) on_change_(*change);
  return text;
}

}  // namespace gpu_telemetry::io
