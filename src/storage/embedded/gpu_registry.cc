#include "storage/embedded/gpu_registry.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "storage/embedded/gpu_rows.h"

namespace gpu_telemetry::storage::embedded {

namespace {

bool matches(const std::vector<std::string>& wanted, const std::string& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool matches(const GpuFilter& filter, const Gpu& gpu) {
  return matches(filter.hostname, gpu.hostname) && matches(filter.model_name, gpu.model_name) &&
         matches(filter.pod_namespace, gpu.attribution.pod_namespace) &&
         matches(filter.pod, gpu.attribution.pod) &&
         matches(filter.container, gpu.attribution.container);
}

}  // namespace

// What a call makes of one GPU; it replaces the entry only when it is durable.
struct GpuRegistry::Change {
  Entry entry;
  bool known = false;
  bool record_changed = false;
  // New or extended intervals when the observations only add at the newest end; else the whole
  // timeline, which was read for it.
  std::vector<AttributionInterval> written;
  std::optional<AttributionTimeline> timeline;
  bool timeline_changed = false;
};

Result<std::unique_ptr<GpuRegistry>> GpuRegistry::load(Catalogue& catalogue) {
  std::unique_ptr<GpuRegistry> registry(new GpuRegistry(catalogue));
  const auto access = catalogue.access();
  const auto gpus = visit_gpus(access.database, [&](GpuRecord&& record) {
    const GpuUuid uuid = record.gpu.uuid;
    registry->gpus_.emplace_hint(registry->gpus_.end(), uuid, Entry{std::move(record), {}});
  });
  if (!gpus) return gpus.error();
  const auto intervals = visit_newest_intervals(
      access.database, [&](const GpuUuid& uuid, AttributionInterval&& interval) {
        const auto found = registry->gpus_.find(uuid);
        if (found != registry->gpus_.end()) found->second.newest = std::move(interval);
      });
  if (!intervals) return intervals.error();
  return registry;
}

Result<void> GpuRegistry::apply(Database& database, const GpuObservation& observation,
                                Change& change) {
  const Gpu& gpu = *observation.gpu;
  GpuRecord& record = change.entry.record;
  if (!change.known) {
    change.known = true;
    change.record_changed = true;
    record = {gpu, observation.from, observation.to};
  } else {
    if (observation.from < record.first_seen) {
      record.first_seen = observation.from;
      change.record_changed = true;
    }
    if (observation.to >= record.last_seen) {
      if (observation.to != record.last_seen || record.gpu != gpu) change.record_changed = true;
      record.last_seen = observation.to;
      record.gpu = gpu;
    }
  }

  auto& newest = change.entry.newest;
  if (!change.timeline) {
    if (!newest || (observation.from > newest->end && newest->who != gpu.attribution)) {
      newest = AttributionInterval{observation.from, observation.to, gpu.attribution};
      change.written.push_back(*newest);
      return {};
    }
    if (newest->who == gpu.attribution && observation.from >= newest->start) {
      if (observation.to <= newest->end) return {};
      newest->end = observation.to;
      change.written.push_back(*newest);
      return {};
    }
    auto stored = read_intervals(database, gpu.uuid, Timestamp::min(), Timestamp::max());
    if (!stored) return stored.error();
    // Earlier observations of this call are not stored yet.
    AttributionTimeline timeline(std::move(*stored));
    for (const AttributionInterval& interval : change.written) {
      timeline.observe(interval.start, interval.end, interval.who);
    }
    change.timeline = std::move(timeline);
    change.timeline_changed = !change.written.empty();
  }
  change.timeline_changed |=
      change.timeline->observe(observation.from, observation.to, gpu.attribution);
  newest = change.timeline->intervals().back();
  return {};
}

Result<void> GpuRegistry::observe(std::span<const GpuObservation> observations) {
  // Observers of one GPU follow each other. Readers see what is durable, and wait for no disk.
  const std::lock_guard observing(observers_);
  const auto access = catalogue_.access();
  std::map<GpuUuid, Change> changes;
  for (const GpuObservation& observation : observations) {
    if (!observation.gpu || observation.from > observation.to) {
      return invalid(
          "an observation needs a GPU and a time range whose end is not before its start");
    }
    auto [place, is_new] = changes.try_emplace(observation.gpu->uuid);
    Change& change = place->second;
    if (is_new) {
      const auto found = gpus_.find(observation.gpu->uuid);  // only observers change it
      if (found != gpus_.end()) {
        change.entry = found->second;
        change.known = true;
      }
    }
    const auto applied = apply(access.database, observation, change);
    if (!applied) return applied;
  }
  std::erase_if(changes, [](const auto& item) {
    const Change& change = item.second;
    return !change.record_changed && change.written.empty() && !change.timeline_changed;
  });
  if (changes.empty()) return {};

  auto transaction = Transaction::begin(access.database);
  if (!transaction) return transaction.error();
  {
    auto writer = GpuRowWriter::prepare(access.database);
    if (!writer) return writer.error();
    for (const auto& [uuid, change] : changes) {
      if (change.record_changed) {
        const auto written = writer->write_gpu(change.entry.record);
        if (!written) return written;
      }
      std::span<const AttributionInterval> intervals = change.written;
      if (change.timeline_changed) {
        const auto removed = writer->remove_intervals(uuid);
        if (!removed) return removed;
        intervals = change.timeline->intervals();
      }
      for (const AttributionInterval& interval : intervals) {
        const auto written = writer->write_interval(uuid, interval);
        if (!written) return written;
      }
    }
  }
  const auto committed = transaction->commit();
  if (!committed) return committed;
  const std::unique_lock lock(mutex_);
  for (auto& [uuid, change] : changes) gpus_.insert_or_assign(uuid, std::move(change.entry));
  return {};
}

GpuPage GpuRegistry::list(const GpuFilter& filter, std::optional<GpuUuid> after,
                          std::uint64_t limit) const {
  GpuPage page;
  const std::shared_lock lock(mutex_);
  for (const auto& [uuid, entry] : gpus_) {
    if (!matches(filter, entry.record.gpu)) continue;
    ++page.total;
    if (after && uuid <= *after) continue;
    if (limit != 0 && page.gpus.size() >= limit) continue;
    page.gpus.push_back(entry.record);
  }
  return page;
}

Result<GpuRecord> GpuRegistry::find(const GpuUuid& uuid) const {
  const std::shared_lock lock(mutex_);
  const auto found = gpus_.find(uuid);
  if (found == gpus_.end()) return not_found("no GPU " + uuid.to_string() + " is known");
  return found->second.record;
}

Result<std::vector<AttributionInterval>> GpuRegistry::attribution(const GpuUuid& uuid,
                                                                  Timestamp start,
                                                                  Timestamp end) const {
  const auto access = catalogue_.access();
  return read_intervals(access.database, uuid, start, end);
}

Result<std::vector<std::vector<AttributionInterval>>> GpuRegistry::attribution_in_force(
    std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) const {
  std::vector<std::vector<AttributionInterval>> answer(uuids.size());
  if (start > end) return answer;
  std::vector<std::size_t> with_earlier;
  {
    const std::shared_lock lock(mutex_);
    for (std::size_t i = 0; i < uuids.size(); ++i) {
      const auto found = gpus_.find(uuids[i]);
      if (found == gpus_.end() || !found->second.newest) continue;
      const AttributionInterval& newest = *found->second.newest;
      if (newest.start > start) with_earlier.push_back(i);
      if (newest.start > end) continue;
      answer[i].push_back(newest);
      answer[i].back().end = Timestamp::max();
    }
  }
  if (with_earlier.empty()) return answer;
  const auto access = catalogue_.access();
  for (const std::size_t i : with_earlier) {
    auto intervals = read_intervals_in_force(access.database, uuids[i], start, end);
    if (!intervals) return intervals.error();
    answer[i] = std::move(*intervals);
  }
  return answer;
}

Result<void> GpuRegistry::prune(Timestamp before) {
  const auto access = catalogue_.access();
  auto transaction = Transaction::begin(access.database);
  if (!transaction) return transaction.error();
  const auto removed = remove_intervals_before(access.database, before);
  if (!removed) return removed;
  return transaction->commit();
}

Result<void> GpuRegistry::restore(std::span<const GpuRecord> records) {
  const std::lock_guard observing(observers_);
  const auto access = catalogue_.access();
  auto transaction = Transaction::begin(access.database);
  if (!transaction) return transaction.error();
  {
    auto writer = GpuRowWriter::prepare(access.database);
    if (!writer) return writer.error();
    for (const GpuRecord& record : records) {
      if (gpus_.contains(record.gpu.uuid)) continue;  // only observers change it
      const auto written = writer->write_gpu(record);
      if (!written) return written;
    }
  }
  const auto committed = transaction->commit();
  if (!committed) return committed;
  const std::unique_lock lock(mutex_);
  for (const GpuRecord& record : records) gpus_.try_emplace(record.gpu.uuid, Entry{record, {}});
  return {};
}

}  // namespace gpu_telemetry::storage::embedded
