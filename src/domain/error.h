// The one kind of error that crosses a room's door.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace gpu_telemetry {

// What a caller can do about an error; told apart without reading its text.
enum class ErrorCode {
  kInvalid,      // the request or the input is wrong; the same again fails again
  kNotFound,     // the thing named does not exist
  kConflict,     // somebody else holds it (a lock, a name, a receipt that was overtaken)
  kFull,         // a stated limit is reached; the same again may succeed later
  kUnavailable,  // a dependency does not answer; the same again may succeed later
  kCorrupt,      // stored or received bytes are damaged
  kCancelled,    // a stop was asked for before the work was done
  kInternal,     // a defect of ours
};

std::string_view to_string(ErrorCode code);

// An error and the sentence a person needs to act on it: what was wrong, where, and what would be
// right. Values are cheap to move; no error owns a resource.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  // The same error, with the place where it happened put before it ("PLACE: message").
  [[nodiscard]] Error at(std::string_view place) const;

  friend bool operator==(const Error&, const Error&) = default;
};

Error invalid(std::string message);
Error not_found(std::string message);
Error conflict(std::string message);
Error full(std::string message);
Error unavailable(std::string message);
Error corrupt(std::string message);
Error cancelled(std::string message);
Error internal(std::string message);

std::ostream& operator<<(std::ostream& out, const Error& error);

}  // namespace gpu_telemetry
