// One consistent view of the store: what a query pins.
#pragma once

#include <cstdint>
#include <memory>

#include "storage/embedded/file_set.h"
#include "storage/embedded/head.h"

namespace gpu_telemetry::storage::embedded {

// Copied under a short lock; everything that it points to lives as long as the copy.
struct Version {
  std::shared_ptr<const FileSet> files;
  std::shared_ptr<Head> frozen;  // full, being sealed, no longer written; null when there is none
  std::shared_ptr<Head> active;
};

// What a query needs beside the version.
struct ReadContext {
  Version version;
  const MetricTable* metrics = nullptr;
  // What was stored, and is itself, before this (Unix ms) has expired; kMinTime keeps all.
  std::int64_t cutoff = kMinTime;
};

}  // namespace gpu_telemetry::storage::embedded
