// A GPU as a document of `gpus` (docs/formats/mongodb.md).
#pragma once

#include <span>
#include <vector>

#include "domain/attribution_timeline.h"
#include "domain/gpu.h"
#include "domain/result.h"
#include "storage/gpu_repository.h"
#include "storage/mongodb/bson.h"

namespace gpu_telemetry::storage::mongodb {

// What is stored of a GPU. Its attributes' attribution and its newest interval are one and the
// same, and stored once: of the newest instant the observation that came last decides both.
struct StoredGpu {
  std::int64_t version = 0;  // 0: not stored yet; each change adds one
  GpuRecord record;
  AttributionInterval newest;
  std::vector<AttributionInterval> earlier;  // in time order
  bool has_earlier = false;                  // false: `earlier` was not read
};

// Earlier intervals are read when they are in the document. Errors: kCorrupt.
Result<StoredGpu> read_gpu(const bson_t* document);

// Version, attributes, times and the newest interval: everything but the _id and the earlier
// intervals.
void add_attributes(Document& document, const StoredGpu& gpu);
Document interval_document(const AttributionInterval& interval);
Array interval_list(std::span<const AttributionInterval> intervals);

// The condition that list()'s filter is.
Document gpu_filter(const GpuFilter& filter);

// The GPU with texts that BSON can hold.
Gpu storable(const Gpu& gpu);

}  // namespace gpu_telemetry::storage::mongodb
