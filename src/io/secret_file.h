// A secret that stands in a file: a token, a password, a URI with credentials.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "concurrency/thread_annotations.h"
#include "domain/clock.h"
#include "domain/result.h"

namespace gpu_telemetry::io {

inline constexpr std::size_t kMaxSecretSize = 64 * 1024;

// The text of a file without the white space at its end, read again when the file has changed. The
// path is followed anew each time, so that a mounted secret whose link is moved is found. Messages
// never carry the text. Thread-safe.
class SecretFile {
 public:
  // Told when the file has changed and its new text is taken (no error), or cannot be (an error
  // that names the file; the old text stays). Called on the thread that asked for the text.
  using OnChange = std::function<void(const Result<void>&)>;

  // `clock` outlives the secret. The file is looked at once a second at most, when somebody asks.
  // Errors: kNotFound, kUnavailable, kInvalid (empty, or longer than
  // `max_size` bytes).
  static Result<std::shared_ptr<SecretFile>> open(std::string path, const Clock& clock,
                                                  OnChange on_change = {},
                                                  std::size_t max_size = kMaxSecretSize);

  // The text now. Costs a lock and, once a second, a look at the file.
  std::string text();
  // The same, but looks at the file now.
  std::string refreshed_text();

 private:
  SecretFile(std::string path, const Clock& clock, OnChange on_change, std::size_t max_size)
      : path_(std::move(path)),
        clock_(clock),
        on_change_(std::move(on_change)),
        max_size_(max_size) {}
  std::string look(bool now);

  const std::string path_;
  const Clock& clock_;
  const OnChange on_change_;
  const std::size_t max_size_;
  concurrency::Mutex mutex_;
  std::string text_ GPU_TELEMETRY_GUARDED_BY(mutex_);
  std::string trouble_ GPU_TELEMETRY_GUARDED_BY(mutex_);  // of the last look; empty: none
  SteadyTime looked_ GPU_TELEMETRY_GUARDED_BY(mutex_){};
};

}  // namespace gpu_telemetry::io
