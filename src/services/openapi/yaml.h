// JSON values as YAML 1.2.
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace gpu_telemetry::services {

// Block style, two spaces a level. Texts are double-quoted as in JSON, which YAML includes; keys
// are plain where no reader could take them for anything else.
std::string to_yaml(const boost::json::value& value);

// Indented by two spaces.
std::string to_pretty_json(const boost::json::value& value);

}  // namespace gpu_telemetry::services
