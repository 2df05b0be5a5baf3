#include "storage/mongodb/gpu_change.h"

#include <algorithm>

namespace gpu_telemetry::storage::mongodb {

bool GpuChange::apply(const Gpu& gpu, Timestamp from, Timestamp to) {
  if (!stored_) {
    stored_.emplace();
    stored_->record = {gpu, from, to};
    stored_->newest = {from, to, gpu.attribution};
    stored_->has_earlier = true;
    attributes_changed_ = true;
    return true;
  }
  if (!apply_to_timeline(gpu, from, to)) return false;
  apply_to_record(gpu, from, to);
  return true;
}

void GpuChange::apply_to_record(const Gpu& gpu, Timestamp from, Timestamp to) {
  GpuRecord& record = stored_->record;
  if (from < record.first_seen) {
    record.first_seen = from;
    attributes_changed_ = true;
  }
  if (to < record.last_seen) return;
  if (to != record.last_seen || record.gpu != gpu) attributes_changed_ = true;
  record.last_seen = to;
  record.gpu = gpu;
}

bool GpuChange::apply_to_timeline(const Gpu& gpu, Timestamp from, Timestamp to) {
  AttributionInterval& newest = stored_->newest;
  // Nearly every observation goes on with the newest interval or comes after it.
  if (newest.who == gpu.attribution && from >= newest.start) {
    if (to > newest.end) {
      newest.end = to;
      attributes_changed_ = true;
    }
    return true;
  }
  if (newest.who != gpu.attribution && from > newest.end) {
    if (stored_->has_earlier) stored_->earlier.push_back(newest);
    appended_.push_back(newest);
    if (earlier_ == Earlier::kSame) earlier_ = Earlier::kAppended;
    newest = {from, to, gpu.attribution};
    attributes_changed_ = true;
    return true;
  }
  if (!stored_->has_earlier) return false;
  std::vector<AttributionInterval> intervals = std::move(stored_->earlier);
  intervals.push_back(newest);
  AttributionTimeline timeline(std::move(intervals));
  if (timeline.observe(from, to, gpu.attribution)) {
    earlier_ = Earlier::kReplaced;
    attributes_changed_ = true;
  }
  const auto all = timeline.intervals();
  stored_->earlier.assign(all.begin(), all.end() - 1);
  newest = all.back();
  return true;
}

Document GpuChange::insertion() const {
  StoredGpu first = *stored_;
  first.version = 1;
  Document document;
  document.text("_id", first.record.gpu.uuid.to_string());
  add_attributes(document, first);
  document.array("earlier_attributions", interval_list(first.earlier).list());
  return document;
}

Document GpuChange::selector() const {
  Document selector;
  selector.text("_id", stored_->record.gpu.uuid.to_string()).integer("version", stored_->version);
  return selector;
}

Document GpuChange::update() const {
  StoredGpu next = *stored_;
  ++next.version;
  Document set;
  add_attributes(set, next);
  Document update;
  if (earlier_ == Earlier::kReplaced) {
    auto& earlier = next.earlier;
    const std::size_t surplus = earlier.size() - std::min(earlier.size(), kMostEarlier);
    earlier.erase(earlier.begin(), earlier.begin() + static_cast<std::ptrdiff_t>(surplus));
    set.array("earlier_attributions", interval_list(earlier).list());
  } else if (earlier_ == Earlier::kAppended) {
    Document each;
    each.array("$each", interval_list(appended_).list());
    // The last ones stay.
    each.integer("$slice", -static_cast<std::int64_t>(kMostEarlier));
    Document push;
    push.document("earlier_attributions", each);
    update.document("$push", push);
  }
  update.document("$set", set);
  return update;
}

}  // namespace gpu_telemetry::storage::mongodb
