#include "storage/mongodb/gpu_collection.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "storage/mongodb/gpu_change.h"
#include "storage/mongodb/gpu_document.h"
#include "storage/mongodb/point_id.h"

namespace gpu_telemetry::storage::mongodb {

namespace {

constexpr std::string_view kObserving = "recording GPUs";
constexpr std::string_view kReading = "reading GPUs";
// In each round somebody wins, so this many collectors may meet at one GPU all the time.
constexpr int kRounds = 60;
// Documents in one command.
constexpr std::size_t kGpusPerCommand = 1000;

using Observed = std::map<GpuUuid, std::vector<GpuObservation>>;

// Calls `visit` with each GPU that the filter finds. `with_earlier`: with its earlier intervals.
Result<void> visit_gpus(const Connection& connection, const Document& filter, bool with_earlier,
                        std::int64_t limit, const std::function<void(StoredGpu&&)>& visit) {
  Document by_id;
  by_id.integer("_id", 1);
  Document options;
  options.document("sort", by_id);
  if (!with_earlier) {
    Document projection;
    projection.integer("earlier_attributions", 0);
    options.document("projection", projection);
  }
  if (limit != 0) options.integer("limit", limit);
  const Collection collection = connection.collection(kGpusCollection);
  const Cursor cursor(
      mongoc_collection_find_with_opts(collection.get(), filter.get(), options.get(), nullptr));
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor.get(), &document)) {
    auto gpu = read_gpu(document);
    if (!gpu) return gpu.error();
    visit(std::move(*gpu));
  }
  return connection.end_of(cursor, kReading);
}

Document one_of(std::span<const GpuUuid> uuids) {
  Array list;
  for (const GpuUuid& uuid : uuids) list.add(uuid.to_string());
  Document in;
  in.array("$in", list.list());
  Document filter;
  filter.document("_id", in);
  return filter;
}

bool apply_all(GpuChange& change, std::span<const GpuObservation> observations) {
  return std::all_of(observations.begin(), observations.end(), [&](const GpuObservation& seen) {
    return change.apply(*seen.gpu, seen.from, seen.to);
  });
}

// Reads what is stored of the GPUs, applies what was observed of each, and leaves those that are to
// be written.
Result<std::vector<GpuChange>> make_changes(const Connection& connection, const Observed& observed,
                                            std::span<const GpuUuid> uuids) {
  std::vector<GpuChange> changes;
  std::vector<GpuUuid> whole;  // of which the earlier intervals are needed
  std::map<GpuUuid, bool> is_stored;
  const auto take = [&](StoredGpu&& stored) {
    const GpuUuid uuid = stored.record.gpu.uuid;
    is_stored[uuid] = true;
    GpuChange change(std::move(stored));
    if (!apply_all(change, observed.at(uuid))) {
      whole.push_back(uuid);
    } else if (change.changed()) {
      changes.push_back(std::move(change));
    }
  };
  auto read = visit_gpus(connection, one_of(uuids), false, 0, take);
  if (!read) return read.error();
  if (!whole.empty()) {
    const Document filter = one_of(whole);
    whole.clear();
    read = visit_gpus(connection, filter, true, 0, take);
    if (!read) return read.error();
  }
  for (const GpuUuid& uuid : uuids) {
    if (is_stored.contains(uuid)) continue;
    GpuChange change;
    apply_all(change, observed.at(uuid));
    changes.push_back(std::move(change));
  }
  return changes;
}

// Whether all of them were written; those that were not met a change by somebody else.
Result<bool> write_changes(const Connection& connection, const WriteConcern& concern,
                           std::span<const GpuChange> changes) {
  BulkWrite bulk(connection, kGpusCollection, concern);
  std::int64_t updates = 0;
  for (const GpuChange& change : changes) {
    updates += change.is_new() ? 0 : 1;
    const auto added = change.is_new()
                           ? bulk.insert(change.insertion(), kObserving)
                           : bulk.update_one(change.selector(), change.update(), false, kObserving);
    if (!added) return added.error();
  }
  const auto outcome = bulk.execute(kObserving);
  if (!outcome) return outcome.error();
  return outcome->matched == updates && outcome->duplicates.empty();
}

// So that those who met do not meet again. Grows to 20 ms on average.
void wait_a_little(int round) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const int most = std::min(2 << std::min(round, 10), 40'000);
  std::this_thread::sleep_for(
      std::chrono::microseconds{std::uniform_int_distribution<int>(0, most)(random)});
}

Result<void> observe_some(const Connection& connection, const WriteConcern& concern,
                          const Observed& observed, std::span<const GpuUuid> uuids) {
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0) wait_a_little(round);
    const auto changes = make_changes(connection, observed, uuids);
    if (!changes) return changes.error();
    if (changes->empty()) return {};
    const auto written = write_changes(connection, concern, *changes);
    if (!written) return written.error();
    // Which ones were too late is not told. What was written needs no change when it is read again.
    if (*written) return {};
  }
  return unavailable(
      fmt::format("MongoDB: {}: others changed the same GPUs {} times in a row; the same again may "
                  "succeed",
                  kObserving, kRounds));
}

}  // namespace

Result<void> observe_gpus(const Connection& connection, const WriteConcern& concern,
                          std::span<const GpuObservation> observations) {
  Observed observed;
  for (const GpuObservation& observation : observations) {
    if (!observation.gpu || observation.from > observation.to) {
      return invalid(
          "an observation needs a GPU and a time range whose end is not before its start");
    }
    observed[observation.gpu->uuid].push_back(
        {std::make_shared<const Gpu>(storable(*observation.gpu)), observation.from,
         observation.to});
  }
  std::vector<GpuUuid> uuids;
  for (const auto& [uuid, seen] : observed) uuids.push_back(uuid);
  std::span<const GpuUuid> left = uuids;
  while (!left.empty()) {
    const std::size_t size = std::min(left.size(), kGpusPerCommand);
    const auto done = observe_some(connection, concern, observed, left.first(size));
    if (!done) return done;
    left = left.subspan(size);
  }
  return {};
}

Result<GpuPage> list_gpus(const Connection& connection, const GpuFilter& filter,
                          std::optional<GpuUuid> after, std::uint64_t limit) {
  GpuPage page;
  Document found = gpu_filter(filter);
  if (after || limit != 0) {
    bson_error_t error{};
    const Collection collection = connection.collection(kGpusCollection);
    const std::int64_t count = mongoc_collection_count_documents(collection.get(), found.get(),
                                                                 nullptr, nullptr, nullptr, &error);
    if (count < 0) return connection.error(kReading, error);
    page.total = static_cast<std::uint64_t>(count);
  }
  if (after) {
    Document greater;
    greater.text("$gt", after->to_string());
    found.document("_id", greater);
  }
  const auto visited =
      visit_gpus(connection, found, false,
                 static_cast<std::int64_t>(std::min<std::uint64_t>(limit, INT64_MAX)),
                 [&](StoredGpu&& gpu) { page.gpus.push_back(std::move(gpu.record)); });
  if (!visited) return visited.error();
  if (!after && limit == 0) page.total = page.gpus.size();
  return page;
}

Result<GpuRecord> find_gpu(const Connection& connection, const GpuUuid& uuid) {
  std::optional<GpuRecord> record;
  const auto visited = visit_gpus(connection, one_of({&uuid, 1}), false, 0,
                                  [&](StoredGpu&& gpu) { record = std::move(gpu.record); });
  if (!visited) return visited.error();
  if (!record) return not_found("no GPU " + uuid.to_string() + " is known");
  return std::move(*record);
}

Result<std::vector<AttributionInterval>> attribution_of(const Connection& connection,
                                                        const GpuUuid& uuid, Timestamp start,
                                                        Timestamp end) {
  std::vector<AttributionInterval> intervals;
  const auto visited = visit_gpus(connection, one_of({&uuid, 1}), true, 0, [&](StoredGpu&& gpu) {
    intervals = std::move(gpu.earlier);
    intervals.push_back(std::move(gpu.newest));
  });
  if (!visited) return visited.error();
  std::erase_if(intervals, [&](const AttributionInterval& interval) {
    return interval.end < start || interval.start > end;
  });
  return intervals;
}

Result<std::vector<std::vector<AttributionInterval>>> attribution_in_force_of(
    const Connection& connection, std::span<const GpuUuid> uuids, Timestamp start, Timestamp end) {
  std::map<GpuUuid, std::vector<AttributionInterval>> found;
  std::vector<GpuUuid> with_earlier;
  bool has_earlier = false;
  const auto take = [&](StoredGpu&& gpu) {
    if (gpu.newest.start > start && !has_earlier) {
      with_earlier.push_back(gpu.record.gpu.uuid);
      return;
    }
    std::vector<AttributionInterval> intervals = std::move(gpu.earlier);
    intervals.push_back(std::move(gpu.newest));
    for (std::size_t i = 0; i < intervals.size(); ++i) {
      const bool newest = i + 1 == intervals.size();
      intervals[i].end = newest ? Timestamp::max() : intervals[i + 1].start - Milliseconds{1};
    }
    std::erase_if(intervals, [&](const AttributionInterval& interval) {
      return interval.end < start || interval.start > end;
    });
    found[gpu.record.gpu.uuid] = std::move(intervals);
  };
  const auto visit = [&](std::span<const GpuUuid> left) -> Result<void> {
    while (!left.empty()) {
      const std::size_t size = std::min(left.size(), kGpusPerCommand);
      const auto read = visit_gpus(connection, one_of(left.first(size)), has_earlier, 0, take);
      if (!read) return read;
      left = left.subspan(size);
    }
    return {};
  };
  auto visited = visit(uuids);
  if (!visited) return visited.error();
  has_earlier = true;
  visited = visit(with_earlier);
  if (!visited) return visited.error();
  std::vector<std::vector<AttributionInterval>> answer;
  for (const GpuUuid& uuid : uuids) answer.push_back(found[uuid]);
  return answer;
}

}  // namespace gpu_telemetry::storage::mongodb
