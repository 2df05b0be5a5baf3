#include "domain/error.h"

#include <utility>

#include "domain/result.h"

namespace gpu_telemetry {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
      return "invalid";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kFull:
      return "full";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kInternal:
      break;
  }
  return "internal";
}

Error Error::at(std::string_view place) const {
  return Error{code, std::string(place) + ": " + message};
}

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }
Error not_found(std::string message) { return {ErrorCode::kNotFound, std::move(message)}; }
Error conflict(std::string message) { return {ErrorCode::kConflict, std::move(message)}; }
Error full(std::string message) { return {ErrorCode::kFull, std::move(message)}; }
Error unavailable(std::string message) { return {ErrorCode::kUnavailable, std::move(message)}; }
Error corrupt(std::string message) { return {ErrorCode::kCorrupt, std::move(message)}; }
Error cancelled(std::string message) { return {ErrorCode::kCancelled, std::move(message)}; }
Error internal(std::string message) { return {ErrorCode::kInternal, std::move(message)}; }

std::ostream& operator<<(std::ostream& out, const Error& error) {
  return out << to_string(error.code) << ": " << error.message;
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw BadResultAccess(error);
}

}  // namespace gpu_telemetry
