// A GPU as the fleet knows it: what it is, where it is, and who runs on it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "domain/gpu_uuid.h"
#include "domain/time.h"

namespace gpu_telemetry {

// Who used a GPU at some time. Not identity: it changes with every job, so it is kept as intervals
// (attribution_timeline.h). All empty: nobody that the exporter knew of.
struct Attribution {
  std::string container;
  std::string pod;
  std::string pod_namespace;  // "namespace" in every document and label
  friend auto operator<=>(const Attribution&, const Attribution&) = default;
};

// The attributes that a scrape carries beside its readings. Shared between many scrapes as
// shared_ptr<const Gpu>, and never changed once shared.
struct Gpu {
  GpuUuid uuid;
  std::string device_id;  // "nvidia0"; the CSV's `device`
  std::string gpu_index;  // "0"; the CSV's `gpu_id`
  std::string model_name;
  std::string hostname;
  Attribution attribution;
  // Further labels, sorted by name, names unique (driver version, GPU_I_ID, GPU_I_PROFILE, ...).
  std::vector<std::pair<std::string, std::string>> labels;
  friend bool operator==(const Gpu&, const Gpu&) = default;
};

using GpuPointer = std::shared_ptr<const Gpu>;

// A GPU as storage knows it: the newest attributes and when it was heard of.
struct GpuRecord {
  Gpu gpu;
  Timestamp first_seen;  // of all scrapes stored so far, by their own timestamps
  Timestamp last_seen;
  friend bool operator==(const GpuRecord&, const GpuRecord&) = default;
};

}  // namespace gpu_telemetry
