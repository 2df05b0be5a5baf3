// What GPUs there are, and who used them when.
//
// Implementations and rules of use: as in telemetry_repository.h.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "domain/attribution_timeline.h"
#include "domain/gpu.h"
#include "domain/result.h"

namespace gpu_telemetry::storage {

// Scrapes of one GPU from `from` to `to` (inclusive, by their own timestamps) all carried these
// attributes.
struct GpuObservation {
  GpuPointer gpu;
  Timestamp from;
  Timestamp to;
};

// Empty members match everything; given ones match exactly. Attribution members match the newest
// attribution.
struct GpuFilter {
  std::optional<std::string> hostname;
  std::optional<std::string> model_name;
  std::optional<std::string> pod_namespace;
  std::optional<std::string> pod;
  std::optional<std::string> container;
};

struct GpuPage {
  std::vector<GpuRecord> gpus;  // sorted by UUID
  std::uint64_t total = 0;      // all that match, on whatever page
};

class GpuRepository {
 public:
  virtual ~GpuRepository() = default;

  // Records the observations. Newest attributes win by the observation's `to`, so an older scrape
  // never overwrites newer attributes; first_seen and last_seen widen; the attribution timeline
  // takes each. Repeating an observation changes nothing. Durable when it returns. Errors: kFull,
  // kUnavailable; any part may then have been recorded, and repeating is right.
  virtual Result<void> observe(std::span<const GpuObservation> observations) = 0;

  // `after`: only UUIDs greater than this one. `limit` 0: all.
  virtual Result<GpuPage> list(const GpuFilter& filter, std::optional<GpuUuid> after,
                               std::uint64_t limit) = 0;

  // Errors: kNotFound, kUnavailable.
  virtual Result<GpuRecord> find(const GpuUuid& uuid) = 0;

  // Intervals that overlap the range (inclusive), in time order. An unknown GPU has none.
  virtual Result<std::vector<AttributionInterval>> attribution(const GpuUuid& uuid, Timestamp start,
                                                               Timestamp end) = 0;
};

}  // namespace gpu_telemetry::storage
