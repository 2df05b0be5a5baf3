// GET /api/v1/stream: new samples as server-sent events.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <map>

#include "services/api_gateway/answer.h"
#include "services/api_gateway/live_tail.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"

namespace gpu_telemetry::services {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Why = http::Interruption::Why;

constexpr std::size_t kMaxMetrics = 50;
constexpr std::size_t kMaxGpus = 1'000;
constexpr std::chrono::seconds kHeartbeat{15};
// How far back a reader may go on, and how much it is sent of that.
constexpr std::chrono::minutes kResumed{5};
constexpr std::size_t kMostResumed = 50'000;
constexpr std::size_t kMostResumedGpus = 500;

struct Question {
  TailFilter filter;
  std::optional<Timestamp> since;
};

std::vector<std::string> default_metrics() {
  std::vector<std::string> metrics;
  for (const MetricDefinition& metric : metric_definitions()) {
    if (metric.exported_by_default) metrics.emplace_back(metric.name);
  }
  std::sort(metrics.begin(), metrics.end());
  return metrics;
}

// Last-Event-ID is what a browser sends again; `since` is for others, and may be a time as well.
Result<std::optional<Timestamp>> parse_since(const http::Request& request) {
  std::string_view text = request.headers.get("Last-Event-ID");
  if (text.empty()) {
    const auto given = only_value(request, "since");
    if (!given) return given.error();
    if (!*given) return std::optional<Timestamp>();
    text = **given;
  }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  constexpr std::int64_t kLatest = 253'402'300'799'999;  // the year 9999
  if (error == std::errc{} && end == text.data() + text.size() && number >= 0 &&
      number <= kLatest) {
    return std::optional<Timestamp>(from_unix_milliseconds(number));
  }
  if (request.headers.contains("Last-Event-ID")) {
    return invalid("Last-Event-ID: not an id of this stream; leave it out to begin now");
  }
  const auto time = parse_time(request, "since", Rounding::kDown);
  if (!time) return invalid("since: neither Unix milliseconds nor an RFC 3339 time");
  return *time;
}

Result<Question> parse_question(const http::Request& request) {
  Question question;
  auto metrics = parse_metrics(request, kMaxMetrics);
  if (!metrics) return metrics.error();
  question.filter.metrics = metrics->empty() ? default_metrics() : std::move(*metrics);
  for (const std::string_view text : request.query.get_all("uuid")) {
    const auto uuid = GpuUuid::parse(text);
    if (!uuid) return uuid.error().at("uuid");
    question.filter.gpus.push_back(*uuid);
  }
  if (question.filter.gpus.size() > kMaxGpus) {
    return invalid("uuid: given more than " + std::to_string(kMaxGpus) + " times");
  }
  std::sort(question.filter.gpus.begin(), question.filter.gpus.end());
  question.filter.filter = parse_filter(request);
  const auto since = parse_since(request);
  if (!since) return since.error();
  question.since = *since;
  return question;
}

void append_gap(std::string& out, Timestamp from) {
  out += "event: gap\ndata: {";
  append_time_member(out, "from", from);
  out += "}\n\n";
}

// What came after `since`, as events in the order of time.
class Replay {
 public:
  Replay(ApiContext& context, const Question& question) : context_(context), question_(question) {}

  Result<std::string> run() {
    std::string events;
    Timestamp since = *question_.since;
    const Timestamp earliest = context_.clock.now() - kResumed;
    if (since < earliest) {
      append_gap(events, since);
      since = earliest;
    }
    const auto page = context_.gpus.list(question_.filter.filter, std::nullopt, 0);
    if (!page) return page.error();
    std::vector<const Gpu*> gpus;
    for (const GpuRecord& record : page->gpus) {
      const bool news = record.last_seen > since;
      if (news && question_.filter.matches(record.gpu)) gpus.push_back(&record.gpu);
    }
    if (gpus.size() > kMostResumedGpus) {
      append_gap(events, since);
      return events;
    }
    for (const Gpu* gpu : gpus) {
      const auto read = read_gpu(*gpu, since);
      if (!read) return read.error();
    }
    if (samples_ > kMostResumed) {
      append_gap(events, since);
      return events;
    }
    std::vector<std::pair<std::string_view, double>> values;
    for (const auto& [key, readings] : scrapes_) {
      values.clear();
      for (const auto& [metric, value] : readings) {
        values.emplace_back(question_.filter.metrics[metric], value);
      }
      append_sample_event(events, key.second, key.first, values);
    }
    return events;
  }

 private:
  Result<void> read_gpu(const Gpu& gpu, Timestamp since) {
    storage::SampleQuery query;
    query.gpu = gpu.uuid;
    query.start = since + Milliseconds{1};
    query.order = storage::Order::kOldestFirst;
    query.metrics = question_.filter.metrics;
    const auto cursor = context_.telemetry.query(query);
    if (!cursor) return cursor.error();
    while (samples_ <= kMostResumed) {
      const auto block = (*cursor)->next();
      if (!block) return block.error();
      if (block->empty()) return {};
      for (const storage::StoredSample& sample : *block) {
        const std::string& name = (*cursor)->metric_names()[sample.metric];
        const auto& metrics = question_.filter.metrics;
        const auto place = std::lower_bound(metrics.begin(), metrics.end(), name);
        scrapes_[{sample.timestamp, gpu.uuid}].emplace_back(
            static_cast<std::size_t>(place - metrics.begin()), sample.value);
        ++samples_;
      }
    }
    return {};
  }

  ApiContext& context_;
  const Question& question_;
  std::map<std::pair<Timestamp, GpuUuid>, std::vector<std::pair<std::size_t, double>>> scrapes_;
  std::size_t samples_ = 0;
};

// The place of a reader, which is given up however the stream ends.
class Seat {
 public:
  Seat(LiveTail& tail, std::shared_ptr<TailReader> reader)
      : tail_(tail), reader_(std::move(reader)) {}
  ~Seat() { tail_.remove(reader_); }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;
  TailReader& reader() { return *reader_; }

 private:
  LiveTail& tail_;
  const std::shared_ptr<TailReader> reader_;
};

// Woken from the tail's thread, used on the connection's.
struct Bell {
  explicit Bell(asio::any_io_executor loop) : executor(std::move(loop)), timer(executor) {}
  asio::any_io_executor executor;
  asio::steady_timer timer;
};

awaitable<Result<void>> send_events(http::BodyWriter& body, std::string first,
                                    std::shared_ptr<Seat> seat, std::shared_ptr<Bell> bell,
                                    http::Interruption& interruption) {
  Result<void> sent = co_await body.write(first);
  while (sent && interruption.why() == Why::kNone && !body.stopping()) {
    std::string events = seat->reader().take();
    if (events.empty()) {
      bell->timer.expires_after(kHeartbeat);
      interruption.notify([bell] { bell->timer.cancel(); });
      // Between the look and the wait something may have come: its ring is posted behind us.
      const auto [woken] = co_await bell->timer.async_wait(asio::as_tuple(asio::use_awaitable));
      interruption.notify(nullptr);
      events = seat->reader().take();
      if (events.empty() && !woken) events = ": heartbeat\n\n";
      if (events.empty()) continue;
    }
    sent = co_await body.write(events);
  }
  co_return sent;
}

awaitable<http::Response> get_stream(ApiContext& context, http::Request& request) {
  auto question = parse_question(request);
  if (!question) co_return http::problem(question.error());
  const auto bell = std::make_shared<Bell>(co_await asio::this_coro::executor);
  // Weak: a ring that is still on its way must not keep what belongs to the loop.
  auto wake = [weak = std::weak_ptr<Bell>(bell), executor = bell->executor] {
    auto ring = [weak] {
      if (const auto there = weak.lock()) there->timer.cancel();
    };
    asio::post(executor, ring);
  };
  const auto reader = std::make_shared<TailReader>(question->filter, wake);
  // Before the past is read, so that nothing falls between the two; a sample may come twice.
  if (!context.tail.add(reader)) {
    http::Response full = http::problem(
        503, "as many streams are open as may be (" + std::to_string(LiveTail::kMostReaders) + ")");
    full.headers.set("Retry-After", "10");
    co_return full;
  }
  const auto seat = std::make_shared<Seat>(context.tail, reader);
  std::string first = ": connected\nretry: 2000\n\n";
  if (question->since) {
    auto replay = [&context, &question] { return Replay(context, *question).run(); };
    const auto past = co_await read_storage(context, replay);
    if (!past) co_return http::problem(past.error());
    first += *past;
  }
  http::Response response;
  response.headers.set("Content-Type", "text/event-stream");
  response.headers.set("Cache-Control", "no-store");
  response.headers.set("X-Accel-Buffering", "no");  // a proxy must not gather events
  auto stream = [first = std::move(first), seat, bell,
                 &interruption = *request.interruption](http::BodyWriter& body) mutable {
    return send_events(body, std::move(first), seat, bell, interruption);
  };
  response.stream = std::move(stream);
  co_return response;
}

}  // namespace

Result<void> add_stream_routes(http::Router& router, ApiContext& context) {
  http::Route get = describe("/api/v1/stream", "streamSamples",
                             "New samples as they come, as server-sent events", "telemetry");
  get.doc.description =
      "`event: sample` with data {gpu_uuid, timestamp, values: {metric: value}} and the time in "
      "Unix milliseconds as its id; `event: gap` with data {from} when this reader was too slow, "
      "or "
      "asked for more than is told again. A comment comes each 15 s. Storage is looked at once a "
      "second: of samples that come faster it is the newest. At most 1,000 streams.";
  get.handler = [&context](http::Request& request) { return get_stream(context, request); };
  add_metric_parameter(
      get.doc, "Which metrics; those that DCGM's exporter has by default without it", kMaxMetrics);
  get.doc.parameters.push_back(repeatable_parameter(
      "uuid", "Only these GPUs", R"({"type":"string","pattern":"^(GPU|MIG)-[0-9a-fA-F-]{36}$"})"));
  add_filter_parameters(get.doc);
  get.doc.parameters.push_back(query_parameter(
      "since",
      "First what came after this time, at most five minutes ago: Unix milliseconds or RFC 3339",
      R"({"type":"string"})"));
  http::ParameterDoc last;
  last.name = "Last-Event-ID";
  last.in = "header";
  last.description = "The id of the last event that was read: goes on behind it, as `since` does";
  last.schema_json = R"({"type":"string","pattern":"^[0-9]{1,15}$"})";
  get.doc.parameters.push_back(std::move(last));
  http::ResponseDoc events;
  events.description = "Events, without an end";
  events.media_type = "text/event-stream";
  events.schema_json = R"({"type":"string"})";
  get.doc.responses.push_back(std::move(events));
  add_problems(get.doc, {400, 500, 503});
  return router.add(std::move(get));
}

}  // namespace gpu_telemetry::services
