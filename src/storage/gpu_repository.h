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

// Empty members match everything; of several values of a member one must match, exactly.
// Attribution members match the newest attribution.
struct GpuFilter {
  std::vector<std::string> hostname;
  std::vector<std::string> model_name;
  std::vector<std::string> pod_namespace;
  std::vector<std::string> pod;
  std::vector<std::string> container;
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
  // Whether find() waits for nothing, neither a disk nor a network.
  virtual bool finds_at_once() const { return false; }

  // Intervals that overlap the range (inclusive), in time order. An unknown GPU has none.
  virtual Result<std::vector<AttributionInterval>> attribution(const GpuUuid& uuid, Timestamp start,
                                                               Timestamp end) = 0;

  // Who is taken to have used each GPU at each time of the range (inclusive), as
  // AttributionTimeline::at tells it: intervals in time order, each lasting until the next begins
  // (the newest until Timestamp::max()), those of them that overlap the range. One entry for each
  // GPU, in the order of `uuids`; empty for an unknown one, and for a range before the first.
  virtual Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force(
      std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) = 0;
};

}  // namespace gpu_telemetry::storage
