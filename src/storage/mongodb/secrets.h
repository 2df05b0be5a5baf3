// Passwords out of messages.
#pragma once

#include <string>
#include <string_view>

namespace gpu_telemetry::storage::mongodb {

// Remembers what a MongoDB URI has of secrets: the password, as it stands and decoded, the whole
// `user:password`, and the values of options that carry one. Works on a text that is no valid URI
// too. For the life of the process, because the driver's log lines name no client. Thread-safe.
void remember_secrets(std::string_view uri);

// The text with `***` for every secret that was remembered, and for whatever stands between `://`
// and `@`. Thread-safe.
std::string without_secrets(std::string_view text);

}  // namespace gpu_telemetry::storage::mongodb
