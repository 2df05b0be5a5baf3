#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "services/api_gateway/media_type.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/page_cursor.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"
#include "services/api_gateway/telemetry_body.h"
#include "services/api_gateway/telemetry_buckets.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

constexpr std::uint64_t kDefaultLimit = 10'000;
constexpr std::uint64_t kMaxLimit = 100'000;
constexpr std::size_t kMaxMetrics = 100;
// An answer up to this size is sent whole, with its length; a longer one in chunks of it.
constexpr std::size_t kPieceSize = 2 * 1024 * 1024;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kCsv = "text/csv";
constexpr std::string_view kNdjson = "application/x-ndjson";

struct Question {
  storage::SampleQuery query;
  std::optional<Milliseconds> step;
  std::optional<storage::Combine> combine;
  TelemetryShape shape = TelemetryShape::kPoints;
  std::uint64_t hash = 0;
};

// What the values are: `order`, `step`, `agg`.
Result<void> parse_values(const http::Request& request, Question& question) {
  static constexpr std::array<std::string_view, 2> kOrders = {"desc", "asc"};
  const auto order = parse_choice(request, "order", kOrders);
  if (!order) return order.error();
  if (*order == "asc") question.query.order = storage::Order::kOldestFirst;
  const auto step = parse_step(request);
  if (!step) return step.error();
  question.step = *step;
  static constexpr std::array<std::string_view, 7> kWays = {"avg",   "min",  "max",     "last",
                                                            "count", "rate", "increase"};
  const auto way = parse_choice(request, "agg", kWays);
  if (!way) return way.error();
  if (!*way) return {};
  if (!question.step)
    return invalid("agg: says how buckets are made, so it needs a step, as in 60s");
  question.combine = combine_of(**way);
  return {};
}

// How they are written: `shape` and Accept; and `limit`.
Result<void> parse_form(const http::Request& request, Question& question) {
  static constexpr std::array<std::string_view, 3> kTypes = {kJson, kCsv, kNdjson};
  const auto type = preferred_media_type(request.headers.get("Accept"), kTypes).value_or(kJson);
  static constexpr std::array<std::string_view, 2> kShapes = {"points", "series"};
  const auto shape = parse_choice(request, "shape", kShapes);
  if (!shape) return shape.error();
  if (type == kCsv) question.shape = TelemetryShape::kCsv;
  if (type == kNdjson) question.shape = TelemetryShape::kNdjson;
  if (*shape == "series") {
    if (type != kJson) {
      return invalid("shape: series is a JSON document; ask for it with Accept: application/json");
    }
    question.shape = TelemetryShape::kSeries;
  }
  const auto limit = parse_limit(request, kMaxLimit);
  if (!limit) return limit.error();
  question.query.limit = limit->value_or(type == kJson ? kDefaultLimit : 0);
  return {};
}

std::uint64_t hash_of(const Question& question) {
  QuestionHash hash;
  const storage::SampleQuery& query = question.query;
  hash.add(query.gpu.to_string());
  hash.add(std::to_string(unix_milliseconds(query.start)));
  hash.add(std::to_string(unix_milliseconds(query.end)));
  for (const std::string& metric : query.metrics) hash.add(metric);
  hash.add(query.order == storage::Order::kNewestFirst ? "desc" : "asc");
  hash.add(std::to_string(question.step.value_or(Milliseconds{0}).count()));
  hash.add(question.combine ? std::to_string(static_cast<int>(*question.combine)) : "");
  return hash.value();
}

Result<Question> parse_question(const http::Request& request) {
  Question question;
  storage::SampleQuery& query = question.query;
  const auto uuid = GpuUuid::parse(request.path_parameter("uuid"));
  if (!uuid) return uuid.error();
  query.gpu = *uuid;
  const auto range = parse_time_range(request);
  if (!range) return range.error();
  query.start = range->start;
  query.end = range->end;
  auto metrics = parse_metrics(request, kMaxMetrics);
  if (!metrics) return metrics.error();
  query.metrics = std::move(*metrics);
  if (auto parsed = parse_values(request, question); !parsed) return parsed.error();
  if (auto parsed = parse_form(request, question); !parsed) return parsed.error();
  question.hash = hash_of(question);
  const auto cursor = only_value(request, "cursor");
  if (!cursor) return cursor.error();
  if (*cursor) {
    auto key = decode_cursor(**cursor, question.hash);
    if (!key) return key.error();
    query.after = std::move(*key);
  }
  return question;
}

// Where the question's samples are, as far as there are any: buckets are made of no more.
Result<std::unique_ptr<storage::SampleCursor>> open_question_buckets(ApiContext& context,
                                                                     const Question& question) {
  const storage::SampleQuery& query = question.query;
  const auto present = context.telemetry.metrics_of(query.gpu);
  if (!present) return present.error();
  BucketQuestion buckets;
  buckets.gpu = query.gpu;
  buckets.step = *question.step;
  buckets.combine = question.combine;
  buckets.order = query.order;
  buckets.after = query.after;
  Timestamp first = Timestamp::max();
  Timestamp last = Timestamp::min();
  for (const storage::MetricPresence& metric : *present) {
    const bool wanted =
        query.metrics.empty() ||
        std::binary_search(query.metrics.begin(), query.metrics.end(), metric.metric);
    if (!wanted) continue;
    buckets.metrics.push_back(metric.metric);
    first = std::min(first, metric.first);
    last = std::max(last, metric.last);
  }
  buckets.start = std::max(query.start, first);
  buckets.end = std::min(query.end, last);
  const auto checked =
      check_buckets(buckets.start, buckets.end, buckets.step, storage::kMaxBuckets);
  if (!checked) return checked.error();
  return open_buckets(context.telemetry, std::move(buckets));
}

// One sample more than the page has, to know whether there is a next page.
storage::SampleQuery query_for_page(const Question& question) {
  storage::SampleQuery query = question.query;
  if (query.limit != 0) ++query.limit;
  return query;
}

Result<std::unique_ptr<storage::SampleCursor>> open_samples(ApiContext& context,
                                                            const Question& question) {
  if (question.step) return open_question_buckets(context, question);
  return context.telemetry.query(query_for_page(question));
}

// The first piece of an answer, and what goes on with it when there is more.
struct Opened {
  std::shared_ptr<TelemetryBody> body;
  std::string first;
  bool whole = false;
};

Result<Opened> begin_answer(const Question& question,
                            std::unique_ptr<storage::SampleCursor> cursor) {
  TelemetrySamples samples;
  samples.gpu = question.query.gpu;
  samples.cursor = std::move(cursor);
  samples.order = question.query.order;
  samples.limit = question.query.limit;
  samples.question = question.hash;
  if (question.step) {
    samples.unit = [combine = question.combine](std::string_view metric) {
      return unit_of(metric, combine.value_or(default_combine(metric)));
    };
  }
  Opened opened;
  opened.body = make_telemetry_body(question.shape, std::move(samples));
  auto whole = opened.body->write(opened.first, kPieceSize);
  if (!whole) return whole.error();
  opened.whole = *whole;
  return opened;
}

Result<Opened> open_answer(ApiContext& context, const Question& question) {
  if (auto gpu = context.gpus.find(question.query.gpu); !gpu) return gpu.error();
  auto cursor = open_samples(context, question);
  if (!cursor) return cursor.error();
  return begin_answer(question, std::move(*cursor));
}

// The same without a wait, which takes less than to hand the question to a reader; nothing where
// storage cannot.
std::optional<Result<Opened>> open_answer_at_once(ApiContext& context, const Question& question) {
  if (question.step || !context.gpus.finds_at_once()) return std::nullopt;
  auto cursor = context.telemetry.query_at_once(query_for_page(question));
  if (!cursor) return std::nullopt;
  if (auto gpu = context.gpus.find(question.query.gpu); !gpu) return gpu.error();
  return begin_answer(question, std::move(cursor));
}

awaitable<Result<void>> stream_answer(ApiContext& context, std::shared_ptr<TelemetryBody> answer,
                                      std::string piece, http::BodyWriter& body) {
  for (bool last = false;;) {
    if (auto sent = co_await body.write(piece); !sent) co_return sent.error();
    if (last) co_return Result<void>();
    piece.clear();
    auto write = [&answer, &piece] { return answer->write(piece, kPieceSize); };
    // Not refused, however many wait: it was let in when it began, and half an answer is none.
    const auto written = co_await concurrency::async_offload(context.readers, write);
    if (!written) co_return written.error();
    last = *written;
  }
}

std::string_view media_type_of(TelemetryShape shape) {
  switch (shape) {
    case TelemetryShape::kCsv:
      return "text/csv; charset=utf-8; header=present";
    case TelemetryShape::kNdjson:
      return kNdjson;
    case TelemetryShape::kPoints:
    case TelemetryShape::kSeries:
      break;
  }
  return kJson;
}

awaitable<http::Response> get_telemetry(ApiContext& context, const http::Request& request) {
  const auto question = parse_question(request);
  if (!question) co_return http::problem(question.error());
  auto opened = open_answer_at_once(context, *question);
  if (!opened) {
    auto open = [&context, &question] { return open_answer(context, *question); };
    opened = co_await read_storage(context, open);
  }
  if (!*opened) co_return http::problem(opened->error());
  Opened& answer = **opened;
  http::Response response;
  response.headers.set("Content-Type", std::string(media_type_of(question->shape)));
  response.headers.add("Vary", "Accept");
  if (answer.whole) {
    response.body = std::move(answer.first);
    const std::string& cursor = answer.body->next_cursor();
    if (!cursor.empty()) response.headers.set("Link", link_to_next(request, cursor));
    co_return response;
  }
  auto rest = [&context, telemetry = answer.body,
               piece = std::move(answer.first)](http::BodyWriter& body) mutable {
    return stream_answer(context, telemetry, std::move(piece), body);
  };
  response.stream = std::move(rest);
  co_return response;
}

void add_parameters(http::OperationDoc& doc) {
  doc.parameters.push_back(uuid_parameter());
  add_time_parameters(doc);
  add_metric_parameter(doc, "Only these metrics", kMaxMetrics);
  doc.parameters.push_back(
      query_parameter("order", "Newest first (`desc`) or oldest first",
                      R"({"type":"string","enum":["desc","asc"],"default":"desc"})"));
  doc.parameters.push_back(query_parameter(
      "step",
      "One value for each metric and bucket of this length, such as `60s` or `5m`, stamped with "
      "the "
      "bucket's start; buckets are aligned to 1970-01-01T00:00:00Z, and there are at most 11,000",
      R"({"type":"string","pattern":"^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$"})"));
  doc.parameters.push_back(query_parameter(
      "agg",
      "What becomes of a bucket's samples. Without it: the mean (`avg`) of a gauge and the growth "
      "in one second (`rate`) of a counter. `rate` and `increase` take a fall for a start from 0",
      R"({"type":"string","enum":["avg","min","max","last","count","rate","increase"]})"));
  doc.parameters.push_back(query_parameter(
      "shape", "`points`: one object for each sample. `series`: times and values for each metric",
      R"({"type":"string","enum":["points","series"],"default":"points"})"));
  doc.parameters.push_back(query_parameter(
      "limit",
      "Samples in one answer: 10,000 without it in JSON, all of the range in CSV and NDJSON",
      R"({"type":"integer","minimum":1,"maximum":100000})"));
  add_cursor_parameter(doc);
}

}  // namespace

Result<void> add_telemetry_routes(http::Router& router, ApiContext& context) {
  http::Route get =
      describe("/api/v1/gpus/{uuid}/telemetry", "getTelemetry", "What one GPU did", "telemetry");
  get.handler = [&context](http::Request& request) { return get_telemetry(context, request); };
  get.doc.description =
      "Samples are sorted by time, those of one time by metric. CSV and NDJSON are sent while they "
      "are read, however many samples there are.";
  add_parameters(get.doc);
  http::ResponseDoc json = answer_of("The samples", "Telemetry", {});
  json.schema_json = R"({"oneOf":[)" + schema_reference("Telemetry") + "," +
                     schema_reference("TelemetrySeries") + "]}";
  get.doc.responses.push_back(std::move(json));
  for (const std::string_view type : {kCsv, kNdjson}) {
    http::ResponseDoc rows;
    rows.description = "The samples";
    rows.media_type = type;
    rows.schema_json = R"({"type":"string"})";
    get.doc.responses.push_back(std::move(rows));
  }
  add_problems(get.doc, {400, 404, 500, 503});
  return router.add(std::move(get));
}

}  // namespace gpu_telemetry::services
