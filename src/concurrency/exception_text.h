// What a coroutine ended with, for a message.
#pragma once

#include <exception>
#include <string>

namespace gpu_telemetry::concurrency {

// What `thrown`, which is not null, says of itself.
inline std::string exception_text(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception of an unknown type";
  }
}

}  // namespace gpu_telemetry::concurrency
