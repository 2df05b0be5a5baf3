#include "services/api_gateway/fleet.h"

#include <algorithm>
#include <array>

namespace gpu_telemetry::services {
namespace {

Result<std::vector<FleetGpu>> with_freshness(ApiContext& context, std::vector<GpuRecord> records) {
  std::vector<GpuUuid> uuids;
  uuids.reserve(records.size());
  for (const GpuRecord& record : records) uuids.push_back(record.gpu.uuid);
  const auto intervals = context.intervals.of(uuids);
  if (!intervals) return intervals.error();
  const Timestamp now = context.clock.now();
  std::vector<FleetGpu> gpus;
  gpus.reserve(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Freshness freshness = freshness_of(records[i].last_seen, (*intervals)[i], now);
    gpus.push_back({std::move(records[i]), freshness});
  }
  return gpus;
}

bool has_state(const FleetFilter& filter, GpuState state) {
  return filter.states.empty() ||
         std::find(filter.states.begin(), filter.states.end(), state) != filter.states.end();
}

}  // namespace

Result<FleetFilter> parse_fleet_filter(const http::Request& request) {
  FleetFilter filter;
  filter.gpus = parse_filter(request);
  for (const std::string_view text : request.query.get_all("state")) {
    const std::array states{GpuState::kLive, GpuState::kStale, GpuState::kGone};
    const auto found = std::find_if(states.begin(), states.end(),
                                    [&](GpuState state) { return to_string(state) == text; });
    if (found == states.end()) {
      return invalid("state: '" + std::string(text.substr(0, 40)) +
                     "' is none of live, stale, gone");
    }
    filter.states.push_back(*found);
  }
  return filter;
}

Result<std::vector<FleetGpu>> read_fleet(ApiContext& context, const FleetFilter& filter) {
  auto page = context.gpus.list(filter.gpus, std::nullopt, 0);
  if (!page) return page.error();
  auto gpus = with_freshness(context, std::move(page->gpus));
  if (!gpus) return gpus.error();
  std::erase_if(*gpus,
                [&](const FleetGpu& gpu) { return !has_state(filter, gpu.freshness.state); });
  return gpus;
}

Result<FleetPage> read_fleet_page(ApiContext& context, const FleetFilter& filter,
                                  std::optional<GpuUuid> after, std::uint64_t limit) {
  FleetPage answer;
  if (filter.states.empty()) {
    // One more tells whether there is a next page.
    auto page = context.gpus.list(filter.gpus, after, limit == 0 ? 0 : limit + 1);
    if (!page) return page.error();
    answer.total = page->total;
    answer.more = limit != 0 && page->gpus.size() > limit;
    if (answer.more) page->gpus.resize(limit);
    auto gpus = with_freshness(context, std::move(page->gpus));
    if (!gpus) return gpus.error();
    answer.gpus = std::move(*gpus);
    return answer;
  }
  auto all = read_fleet(context, filter);
  if (!all) return all.error();
  answer.total = all->size();
  for (FleetGpu& gpu : *all) {
    if (after && gpu.record.gpu.uuid <= *after) continue;
    answer.more = limit != 0 && answer.gpus.size() == limit;
    if (answer.more) break;
    answer.gpus.push_back(std::move(gpu));
  }
  return answer;
}

Result<FleetGpu> read_fleet_gpu(ApiContext& context, const GpuUuid& uuid) {
  auto record = context.gpus.find(uuid);
  if (!record) return record.error();
  std::vector<GpuRecord> one;
  one.push_back(std::move(*record));
  auto gpus = with_freshness(context, std::move(one));
  if (!gpus) return gpus.error();
  return std::move(gpus->front());
}

}  // namespace gpu_telemetry::services
