// Result<T>: a value or an Error.
//
// Functions of a room's public header return it instead of throwing. It is boost::system::result,
// so `if (!r) return r.error();`, `*r` and `r->member` work as everybody expects. Reading the value
// of a failed result is a defect and throws BadResultAccess.
#pragma once

#include <boost/system/result.hpp>
#include <stdexcept>

#include "domain/error.h"

namespace gpu_telemetry {

template <class T = void>
using Result = boost::system::result<T, Error>;

class BadResultAccess : public std::logic_error {
 public:
  explicit BadResultAccess(const Error& error) : std::logic_error(error.message) {}
};

// Found by boost::system::result through argument-dependent look-up.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location&);

}  // namespace gpu_telemetry
