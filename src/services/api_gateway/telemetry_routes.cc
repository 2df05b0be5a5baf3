#include <memory>

#include "services/api_gateway/page_cursor.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"
#include "services/api_gateway/telemetry_answer.h"

namespace gpu_telemetry::services {
namespace {

using boost::asio::awaitable;

constexpr std::uint64_t kDefaultLimit = 10'000;
constexpr std::uint64_t kMaxLimit = 100'000;
// An answer up to this size is sent whole, with its length; a longer one in chunks of it.
constexpr std::size_t kPieceSize = 2 * 1024 * 1024;

struct Question {
  storage::SampleQuery query;
  std::uint64_t hash = 0;
};

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
  const auto limit = parse_limit(request, kMaxLimit);
  if (!limit) return limit.error();
  query.limit = limit->value_or(kDefaultLimit);

  QuestionHash hash;
  hash.add(uuid->to_string());
  hash.add(std::to_string(unix_milliseconds(query.start)));
  hash.add(std::to_string(unix_milliseconds(query.end)));
  question.hash = hash.value();
  const auto cursor = only_value(request, "cursor");
  if (!cursor) return cursor.error();
  if (*cursor) {
    auto key = decode_cursor(**cursor, question.hash);
    if (!key) return key.error();
    query.after = std::move(*key);
  }
  return question;
}

// The first piece of an answer, and what goes on with it when there is more.
struct Opened {
  std::shared_ptr<TelemetryAnswer> answer;
  std::string first;
  bool whole = false;
};

Result<Opened> open_answer(ApiContext& context, const Question& question) {
  if (auto gpu = context.gpus.find(question.query.gpu); !gpu) return gpu.error();
  auto answer = TelemetryAnswer::open(context.telemetry, question.query, question.hash);
  if (!answer) return answer.error();
  Opened opened;
  opened.answer = std::move(*answer);
  auto whole = opened.answer->write(opened.first, kPieceSize);
  if (!whole) return whole.error();
  opened.whole = *whole;
  return opened;
}

awaitable<Result<void>> stream_answer(ApiContext& context, std::shared_ptr<TelemetryAnswer> answer,
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

awaitable<http::Response> get_telemetry(ApiContext& context, const http::Request& request) {
  const auto question = parse_question(request);
  if (!question) co_return http::problem(question.error());
  auto open = [&context, &question] { return open_answer(context, *question); };
  auto opened = co_await read_storage(context, open);
  if (!opened) co_return http::problem(opened.error());
  http::Response response = http::json_response(200, {});
  if (opened->whole) {
    response.body = std::move(opened->first);
    const std::string& cursor = opened->answer->next_cursor();
    if (!cursor.empty()) response.headers.set("Link", link_to_next(request, cursor));
    co_return response;
  }
  auto rest = [&context, answer = opened->answer,
               piece = std::move(opened->first)](http::BodyWriter& body) mutable {
    return stream_answer(context, answer, std::move(piece), body);
  };
  response.stream = std::move(rest);
  co_return response;
}

constexpr const char* kTelemetrySchema =
    R"({"type":"object","required":["gpu_uuid","telemetry","count"],"properties":{)"
    R"("gpu_uuid":{"type":"string"},"telemetry":{"type":"array","items":{"type":"object",)"
    R"("required":["metric_name","value","timestamp"],"properties":{)"
    R"("metric_name":{"type":"string"},"value":{"type":"number"},)"
    R"("timestamp":{"type":"string","format":"date-time"}}}},"count":{"type":"integer"},)"
    R"("next_cursor":{"type":"string"}}})";

}  // namespace

Result<void> add_telemetry_routes(http::Router& router, ApiContext& context) {
  constexpr const char* kTimeSchema = R"({"type":"string","format":"date-time"})";
  http::Route get;
  get.pattern = "/api/v1/gpus/{uuid}/telemetry";
  get.handler = [&context](http::Request& request) { return get_telemetry(context, request); };
  get.doc.id = "getTelemetry";
  get.doc.summary = "What one GPU did, newest first";
  get.doc.tag = "telemetry";
  get.doc.parameters.push_back(uuid_parameter());
  get.doc.parameters.push_back(
      query_parameter("start_time", "Only samples at or after this time (RFC 3339)", kTimeSchema));
  get.doc.parameters.push_back(
      query_parameter("end_time", "Only samples at or before this time (RFC 3339)", kTimeSchema));
  get.doc.parameters.push_back(
      query_parameter("limit", "Samples in one answer",
                      R"({"type":"integer","minimum":1,"maximum":100000,"default":10000})"));
  get.doc.parameters.push_back(query_parameter(
      "cursor", "`next_cursor` of the answer before, to go on behind it", R"({"type":"string"})"));
  get.doc.responses.push_back(
      json_answer("The samples, newest first, ties by metric name", kTelemetrySchema));
  get.doc.responses.push_back(problem_answer(400, "Malformed UUID, time, range, limit or cursor"));
  get.doc.responses.push_back(problem_answer(404, "No such GPU"));
  get.doc.responses.push_back(problem_answer(503, "Storage is away"));
  return router.add(std::move(get));
}

}  // namespace gpu_telemetry::services
