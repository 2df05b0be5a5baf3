// Pieces of the routes' documentation that several routes share.
#pragma once

#include <string>

#include "http/router.h"

namespace gpu_telemetry::services {

// The {uuid} of a path.
http::ParameterDoc uuid_parameter();

// An optional parameter of the query string; `schema` is JSON.
http::ParameterDoc query_parameter(std::string name, std::string description, std::string schema);

// A JSON answer with status 200.
http::ResponseDoc json_answer(std::string description, std::string schema);

// An RFC 9457 problem.
http::ResponseDoc problem_answer(int status, std::string description);

}  // namespace gpu_telemetry::services
