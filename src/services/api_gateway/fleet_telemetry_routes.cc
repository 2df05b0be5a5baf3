// One metric over many GPUs, in one answer.
#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "services/api_gateway/answer.h"
#include "services/api_gateway/fleet.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"
#include "services/api_gateway/telemetry_buckets.h"
#include "services/json/json.h"
#include "storage/aggregate_check.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;
using storage::GroupQuery;

constexpr std::chrono::hours kDefaultRange{1};

enum class By { kGpu, kHostname, kModelName, kNamespace, kPod, kAll };
constexpr std::array<std::string_view, 6> kGroupings = {"gpu",       "hostname", "model_name",
                                                        "namespace", "pod",      "all"};

struct Question {
  std::string metric;
  std::optional<Timestamp> start;
  std::optional<Timestamp> end;
  Milliseconds step{0};
  storage::Combine combine = storage::Combine::kAverage;
  By by = By::kGpu;
  FleetFilter filter;
};

std::optional<storage::Combine> fleet_combine_of(std::string_view word) {
  if (word == "sum") return storage::Combine::kSum;
  return combine_of(word);
}

Result<Question> parse_question(const http::Request& request) {
  Question question;
  const auto metrics = parse_metrics(request, 1);
  if (!metrics) return metrics.error();
  if (metrics->empty()) {
    return invalid("metric_name: missing; say one, such as DCGM_FI_DEV_GPU_UTIL");
  }
  question.metric = metrics->front();
  const auto range = parse_time_range(request);
  if (!range) return range.error();
  if (range->start != Timestamp::min()) question.start = range->start;
  if (range->end != Timestamp::max()) question.end = range->end;
  const auto step = parse_step(request);
  if (!step) return step.error();
  if (!*step) return invalid("step: missing; say how long a bucket is, such as 60s");
  question.step = **step;
  static constexpr std::array<std::string_view, 8> kWays = {"avg",  "min",   "max",  "sum",
                                                            "last", "count", "rate", "increase"};
  const auto way = parse_choice(request, "agg", kWays);
  if (!way) return way.error();
  question.combine = *way ? *fleet_combine_of(**way) : default_combine(question.metric);
  const auto by = parse_choice(request, "by", kGroupings);
  if (!by) return by.error();
  if (*by) {
    const auto* const found = std::find(kGroupings.begin(), kGroupings.end(), **by);
    question.by = static_cast<By>(found - kGroupings.begin());
  }
  auto filter = parse_fleet_filter(request);
  if (!filter) return filter.error();
  question.filter = std::move(*filter);
  return question;
}

// What a group is known by, and who is in it.
struct Group {
  std::string key;
  std::string pod_namespace;            // by pod
  const Gpu* gpu = nullptr;             // by GPU
  std::vector<const GpuUuid*> members;  // with repeats, in order
};

// The members of a query by group, true to who used each GPU at each time.
class Grouping {
 public:
  Grouping(const Question& question, TimeRange range) : question_(question), range_(range) {}

  // Who used the GPUs matters when it is asked for.
  bool needs_attribution() const {
    const storage::GpuFilter& filter = question_.filter.gpus;
    return question_.by == By::kNamespace || question_.by == By::kPod ||
           !filter.pod_namespace.empty() || !filter.pod.empty() || !filter.container.empty();
  }

  void add(const Gpu& gpu) { add(gpu, gpu.attribution, range_.start, range_.end); }
  void add(const Gpu& gpu, const std::vector<AttributionInterval>& intervals) {
    Timestamp from = range_.start;
    for (const AttributionInterval& interval : intervals) {
      // Before anybody was heard of, nobody used it.
      if (interval.start > from) add_if_wanted(gpu, {}, from, interval.start - Milliseconds{1});
      add_if_wanted(gpu, interval.who, std::max(interval.start, range_.start),
                    std::min(interval.end, range_.end));
      if (interval.end >= range_.end) return;
      from = std::max(from, interval.end + Milliseconds{1});
    }
    add_if_wanted(gpu, {}, from, range_.end);
  }

  // In the order of their keys.
  std::vector<Group> groups() && {
    std::vector<Group> sorted;
    std::vector<std::uint32_t> place(groups_.size());
    for (auto& [key, number] : numbers_) {
      place[number] = static_cast<std::uint32_t>(sorted.size());
      sorted.push_back(std::move(groups_[number]));
    }
    for (GroupQuery::Member& member : members_) member.group = place[member.group];
    return sorted;
  }
  // After groups().
  std::vector<GroupQuery::Member> members() && {
    std::sort(members_.begin(), members_.end(), [](const auto& a, const auto& b) {
      return std::tie(a.gpu, a.group, a.start) < std::tie(b.gpu, b.group, b.start);
    });
    return std::move(members_);
  }

 private:
  static bool matches(const std::vector<std::string>& wanted, const std::string& value) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
  }

  void add_if_wanted(const Gpu& gpu, const Attribution& who, Timestamp start, Timestamp end) {
    const storage::GpuFilter& filter = question_.filter.gpus;
    if (start > end || !matches(filter.pod_namespace, who.pod_namespace) ||
        !matches(filter.pod, who.pod) || !matches(filter.container, who.container)) {
      return;
    }
    add(gpu, who, start, end);
  }

  void add(const Gpu& gpu, const Attribution& who, Timestamp start, Timestamp end) {
    const std::uint32_t group = group_of(gpu, who);
    groups_[group].members.push_back(&gpu.uuid);
    if (!members_.empty()) {
      GroupQuery::Member& last = members_.back();
      if (last.gpu == gpu.uuid && last.group == group && last.end + Milliseconds{1} == start) {
        last.end = end;
        return;
      }
    }
    members_.push_back({gpu.uuid, group, start, end});
  }

  std::uint32_t group_of(const Gpu& gpu, const Attribution& who) {
    std::pair<std::string, std::string> key;  // a pod's name is one within its namespace
    switch (question_.by) {
      case By::kGpu:
        key.first = gpu.uuid.to_string();
        break;
      case By::kHostname:
        key.first = gpu.hostname;
        break;
      case By::kModelName:
        key.first = gpu.model_name;
        break;
      case By::kNamespace:
        key.first = who.pod_namespace;
        break;
      case By::kPod:
        key = {who.pod, who.pod_namespace};
        break;
      case By::kAll:
        key.first = "all";
        break;
    }
    const auto [place, is_new] =
        numbers_.try_emplace(key, static_cast<std::uint32_t>(groups_.size()));
    if (is_new) groups_.push_back({key.first, key.second, &gpu, {}});
    return place->second;
  }

  const Question& question_;
  const TimeRange range_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> numbers_;
  std::vector<Group> groups_;
  std::vector<GroupQuery::Member> members_;
};

std::size_t different(const std::vector<const GpuUuid*>& members) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i == 0 || *members[i] != *members[i - 1]) ++count;
  }
  return count;
}

std::string document(const Question& question, const std::vector<Group>& groups,
                     const std::vector<storage::GroupSeries>& series) {
  std::string body = "{";
  json::append_member(body, "metric_name", question.metric);
  json::append_member(body, "unit", unit_of(question.metric, question.combine));
  json::append_member(body, "kind", kind_of(question.metric));
  append_seconds_member(body, "step_seconds", question.step);
  json::append_member(body, "by", kGroupings[static_cast<std::size_t>(question.by)]);
  json::append_key(body, "series");
  body += '[';
  std::vector<std::int64_t> times;
  SeriesMembers members;
  for (const storage::GroupSeries& each : series) {
    const Group& group = groups[each.group];
    separate(body);
    body += '{';
    json::append_member(body, "key", group.key);
    if (question.by == By::kPod) json::append_member(body, "namespace", group.pod_namespace);
    if (question.by == By::kGpu) {
      json::append_member(body, "hostname", group.gpu->hostname);
      json::append_member(body, "gpu_index", group.gpu->gpu_index);
    }
    append_count_member(body, "gpus", different(group.members));
    times.clear();
    for (const Timestamp time : each.times) times.push_back(unix_milliseconds(time));
    members.append(body, times, each.values);
    body += '}';
  }
  body += ']';
  append_count_member(body, "count", series.size());
  body += '}';
  return body;
}

Result<TimeRange> range_of(const Question& question, Timestamp now) {
  TimeRange range;
  range.end = question.end.value_or(
      question.start ? std::max(now, *question.start + Milliseconds{kDefaultRange}) : now);
  range.start = question.start.value_or(range.end - kDefaultRange);
  const auto checked = check_buckets(range.start, range.end, question.step, storage::kMaxBuckets);
  if (!checked) return checked.error();
  return range;
}

// Without a state, freshness is nobody's question.
Result<std::vector<GpuRecord>> read_records(ApiContext& context, FleetFilter filter) {
  // By attribution at each time, not by today's.
  filter.gpus.pod_namespace.clear();
  filter.gpus.pod.clear();
  filter.gpus.container.clear();
  if (filter.states.empty()) {
    auto page = context.gpus.list(filter.gpus, std::nullopt, 0);
    if (!page) return page.error();
    return std::move(page->gpus);
  }
  auto fleet = read_fleet(context, filter);
  if (!fleet) return fleet.error();
  std::vector<GpuRecord> records;
  for (FleetGpu& gpu : *fleet) records.push_back(std::move(gpu.record));
  return records;
}

Result<void> check_size(const Question& question, const TimeRange& range, std::size_t gpus) {
  const auto buckets = static_cast<std::uint64_t>((range.end - range.start) / question.step) + 1;
  if (gpus == 0 || buckets <= storage::kMaxGroupBuckets / gpus) return {};
  return check_buckets(range.start, range.end, question.step,
                       std::max<std::uint64_t>(storage::kMaxGroupBuckets / gpus, 2))
      .error()
      .at(std::to_string(gpus) + " GPUs");
}

Result<std::string> answer(ApiContext& context, const Question& question) {
  const auto range = range_of(question, context.clock.now());
  if (!range) return range.error();
  const auto records = read_records(context, question.filter);
  if (!records) return records.error();
  if (auto checked = check_size(question, *range, records->size()); !checked) {
    return checked.error();
  }
  Grouping grouping(question, *range);
  if (grouping.needs_attribution()) {
    std::vector<GpuUuid> uuids;
    uuids.reserve(records->size());
    for (const GpuRecord& record : *records) uuids.push_back(record.gpu.uuid);
    const auto intervals = context.gpus.attribution_in_force(uuids, range->start, range->end);
    if (!intervals) return intervals.error();
    for (std::size_t i = 0; i < records->size(); ++i) {
      grouping.add((*records)[i].gpu, (*intervals)[i]);
    }
  } else {
    for (const GpuRecord& record : *records) grouping.add(record.gpu);
  }
  const std::vector<Group> groups = std::move(grouping).groups();
  GroupQuery query;
  query.metric = question.metric;
  query.members = std::move(grouping).members();
  query.start = range->start;
  query.end = range->end;
  query.step = question.step;
  query.combine = question.combine;
  const auto series = context.telemetry.aggregate_groups(query);
  if (!series) return series.error();
  return document(question, groups, *series);
}

awaitable<http::Response> get_fleet_telemetry(ApiContext& context, const http::Request& request) {
  const auto question = parse_question(request);
  if (!question) co_return http::problem(question.error());
  auto read = [&context, &question] { return answer(context, *question); };
  auto body = co_await read_storage(context, read);
  if (!body) co_return http::problem(body.error());
  co_return http::json_response(200, std::move(*body));
}

}  // namespace

Result<void> add_fleet_telemetry_routes(http::Router& router, ApiContext& context) {
  http::Route get = describe("/api/v1/fleet/telemetry", "getFleetTelemetry",
                             "One metric over many GPUs, by GPU or added up by group", "fleet");
  get.doc.description =
      "By `namespace` or `pod`, and with filters of them, a GPU counts for whoever used it at each "
      "time, not for whoever uses it now. Without `start_time` it is the last hour. At most 11,000 "
      "buckets, and GPUs times buckets at most 5,000,000.";
  get.handler = [&context](http::Request& request) {
    return get_fleet_telemetry(context, request);
  };
  add_metric_parameter(get.doc, "Which metric", 1);
  get.doc.parameters.back().required = true;
  add_time_parameters(get.doc);
  get.doc.parameters.push_back(
      query_parameter("step", "How long a bucket is, such as `60s` or `5m`",
                      R"({"type":"string","pattern":"^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$"})"));
  get.doc.parameters.back().required = true;
  get.doc.parameters.push_back(query_parameter(
      "agg",
      "`avg`, `min`, `max`, `count`: of all samples of the group in a bucket. `sum`: each GPU's "
      "mean, added up. `last`: each GPU's newest value, the mean of them. `rate`, `increase`: what "
      "each GPU's counter grew by (in one second), added up. Without it: `avg`, of a counter "
      "`rate`",
      R"({"type":"string","enum":["avg","min","max","sum","last","count","rate","increase"]})"));
  get.doc.parameters.push_back(query_parameter(
      "by", "One series for each of these",
      R"({"type":"string","enum":["gpu","hostname","model_name","namespace","pod","all"],)"
      R"("default":"gpu"})"));
  add_filter_parameters(get.doc);
  add_state_parameter(get.doc);
  get.doc.responses.push_back(answer_of("The series, sorted by key", "FleetTelemetry", {}));
  add_problems(get.doc, {400, 500, 503});
  return router.add(std::move(get));
}

}  // namespace gpu_telemetry::services
