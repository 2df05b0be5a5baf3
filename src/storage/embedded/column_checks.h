// What a checksum cannot tell of a column: that its bytes mean something that the writer would have
// written. Internal to the reader.
#pragma once

#include <string_view>

#include "storage/embedded/column_codec.h"
#include "storage/embedded/timestamp_codec.h"

namespace gpu_telemetry::storage::embedded {

// Each returns what is wrong, or an empty view.

// `decoder` has parsed the vector of `description`.
std::string_view check_times(const TimestampDescription& description,
                             const TimestampDecoder& decoder);
// That every value is finite.
std::string_view check_values(const EncodedColumn& column);
// That the groups' minima, maxima and sums are those of their values.
std::string_view check_statistics(const EncodedColumn& column);

}  // namespace gpu_telemetry::storage::embedded
