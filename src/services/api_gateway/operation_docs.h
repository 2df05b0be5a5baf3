// The gateway's own words for its routes: parameters that several have, and answers by the name of
// their schema (schemas.h).
#pragma once

#include <string>

#include "http/router.h"

namespace gpu_telemetry::services {

// A GET route without a handler.
http::Route describe(std::string pattern, std::string id, std::string summary, std::string tag);

// {"$ref": ...} to a schema of schemas.h.
std::string schema_reference(std::string_view name);

// A 200 with that schema, and an example of it.
http::ResponseDoc answer_of(std::string description, std::string_view schema,
                            std::string_view example);

// hostname, model_name, namespace, pod, container.
void add_filter_parameters(http::OperationDoc& doc);
void add_state_parameter(http::OperationDoc& doc);
// start_time and end_time.
void add_time_parameters(http::OperationDoc& doc);
// metric_name, as often as `most`.
void add_metric_parameter(http::OperationDoc& doc, std::string description, std::size_t most);
void add_cursor_parameter(http::OperationDoc& doc);

// A query parameter that may be given several times.
http::ParameterDoc repeatable_parameter(std::string name, std::string description,
                                        std::string_view item_schema);

// 400, 404 and 503 as problems.
void add_problems(http::OperationDoc& doc, std::initializer_list<int> statuses);

}  // namespace gpu_telemetry::services
