// What observations make of a stored GPU, and the update that stores it.
#pragma once

#include <optional>
#include <span>

#include "storage/mongodb/gpu_collection.h"
#include "storage/mongodb/gpu_document.h"

namespace gpu_telemetry::storage::mongodb {

// One GPU while observations are applied to it.
class GpuChange {
 public:
  // Nothing stored yet.
  GpuChange() = default;
  explicit GpuChange(StoredGpu stored) : stored_(std::move(stored)) {}

  // False: the earlier intervals are needed for this one, and were not read. The change is then to
  // be begun anew with them.
  bool apply(const Gpu& gpu, Timestamp from, Timestamp to);

  bool changed() const { return attributes_changed_ || earlier_ != Earlier::kSame; }
  bool is_new() const { return !stored_ || stored_->version == 0; }

  // The whole document of a new one.
  Document insertion() const;
  // What finds the document unless somebody has changed it, and what changes it.
  Document selector() const;
  Document update() const;

 private:
  enum class Earlier { kSame, kAppended, kReplaced };

  void apply_to_record(const Gpu& gpu, Timestamp from, Timestamp to);
  bool apply_to_timeline(const Gpu& gpu, Timestamp from, Timestamp to);

  std::optional<StoredGpu> stored_;
  bool attributes_changed_ = false;
  Earlier earlier_ = Earlier::kSame;
  std::vector<AttributionInterval> appended_;
};

}  // namespace gpu_telemetry::storage::mongodb
