// Hostile text for what the domain reads: nothing crashes, and what is accepted is written and read
// back the same.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "domain/duration.h"
#include "domain/gpu_uuid.h"
#include "domain/metric_catalogue.h"
#include "domain/telemetry_batch.h"
#include "domain/time.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_telemetry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (const auto time = parse_rfc3339(text)) {
    require(*parse_rfc3339(format_rfc3339(*time)) == *time);
    const auto up = parse_rfc3339(text, Rounding::kUp);
    require(!up || *up == *time || *up == *time + Milliseconds{1});
  }
  if (const auto duration = parse_duration(text)) {
    require(*parse_duration(format_duration(*duration)) == *duration);
  }
  if (const auto bytes = parse_byte_size(text)) {
    require(*parse_byte_size(format_byte_size(*bytes)) == *bytes);
  }
  if (const auto uuid = GpuUuid::parse(text)) {
    require(*GpuUuid::parse(uuid->to_string()) == *uuid);
  }
  (void)is_valid_metric_name(text);
  require(!canonical_metric_name(text).empty() || text.empty());

  static const MetricDefinition* const fields[] = {
      nullptr, find_metric("DCGM_FI_DEV_GPU_TEMP"), find_metric("DCGM_FI_DEV_POWER_USAGE"),
      find_metric("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION")};
  for (const MetricDefinition* field : fields) {
    const Reading reading = interpret_reading(field, text);
    if (reading.rejection != Rejection::kNone) continue;
    require(std::isfinite(reading.value));
    require(interpret_reading(field, reading.value).rejection == Rejection::kNone);
  }
  return 0;
}
