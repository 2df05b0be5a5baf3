// The metrics that Prometheus' client libraries agree on for a process. For metrics.cc and its
// tests.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace gpu_telemetry::observability {

// Reads /proc each time (some 20 microseconds, and more with many open files). A number that cannot
// be read is left out.
std::vector<prometheus::MetricFamily> process_metrics();

}  // namespace gpu_telemetry::observability
