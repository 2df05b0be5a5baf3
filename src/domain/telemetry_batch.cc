#include "domain/telemetry_batch.h"

namespace gpu_telemetry {

void TelemetryBatch::clear() {
  gpus.clear();
  metrics.clear();
  scrapes.clear();
  samples.clear();
}

bool is_valid_metric_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxMetricNameSize) return false;
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  };
  if (!is_letter(name.front())) return false;
  for (const char c : name.substr(1)) {
    if (!is_letter(c) && !(c >= '0' && c <= '9')) return false;
  }
  return true;
}

}  // namespace gpu_telemetry
