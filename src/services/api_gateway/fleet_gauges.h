// How many GPUs are live, stale and gone, as metrics.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "observability/metrics.h"
#include "services/api_gateway/api_gateway.h"

namespace gpu_telemetry::services {

// Counts before each scrape: `gpu_telemetry_gpus` with the label `state`. Where storage does not
// answer the probe, or too many questions wait for it already, the numbers stay as they were, so
// that a scrape does not wait for it. References outlive it. Thread-safe.
class FleetGauges {
 public:
  FleetGauges(ApiContext& context, StorageProbe& probe, observability::Metrics& metrics)
      : context_(context), probe_(probe), metrics_(metrics) {}

  boost::asio::awaitable<void> update();

 private:
  ApiContext& context_;
  StorageProbe& probe_;
  observability::Metrics& metrics_;
};

}  // namespace gpu_telemetry::services
