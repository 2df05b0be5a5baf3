// Reads `labels_raw`: the labels of a series as Prometheus writes them, name="value",...
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpu_telemetry::sources::csv {

inline constexpr std::size_t kMaxLabels = 128;

using LabelList = std::vector<std::pair<std::string, std::string>>;

// Appends the labels of `text` (without the CSV's own quoting) to `labels`, in the order of the
// text. Braces around and spaces between are allowed; \\, \" and \n in values are decoded. False
// when it is something else or has more than kMaxLabels; `labels` is then unspecified.
bool decode_labels(std::string_view text, LabelList& labels);

}  // namespace gpu_telemetry::sources::csv
