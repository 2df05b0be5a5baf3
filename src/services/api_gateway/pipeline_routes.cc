// The way from the streamers to storage: the queue's statistics, and its dead letters.
#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "queue/http_api/json_body.h"
#include "services/api_gateway/answer.h"
#include "services/api_gateway/operation_docs.h"
#include "services/api_gateway/parameters.h"
#include "services/api_gateway/pipeline_rates.h"
#include "services/api_gateway/route_docs.h"
#include "services/api_gateway/routes.h"
#include "services/json/json.h"

namespace gpu_telemetry::services {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

// A page about a queue that does not answer must still come soon.
constexpr std::chrono::seconds kPatience{3};
constexpr std::uint64_t kDefaultLetters = 100;
constexpr std::uint64_t kMaxLetters = 1'000;

template <class T>
awaitable<Result<T>> in_time(queue::Async<Result<T>> call) {
  using asio::experimental::awaitable_operators::operator||;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(kPatience);
  auto either = co_await (std::move(call) || timer.async_wait(asio::use_awaitable));
  if (either.index() == 0) co_return std::move(std::get<0>(either));
  co_return unavailable("the queue does not answer within " + std::to_string(kPatience.count()) +
                        " s");
}

Error no_queue() {
  return conflict(
      "this gateway knows no queue: set QUEUE_SERVICE_URL, as in http://queue-service:8080");
}

struct Totals {
  std::uint64_t depth = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t dead = 0;
  std::uint64_t published = 0;
  std::uint64_t acked = 0;
  std::uint64_t collectors = 0;
  Milliseconds oldest{0};
};

Totals totals_of(const std::vector<queue::TopicStatistics>& topics, std::string_view collectors) {
  Totals totals;
  for (const queue::TopicStatistics& topic : topics) {
    totals.depth += topic.messages;
    totals.published += topic.published_total;
    for (const queue::GroupStatistics& group : topic.groups) {
      totals.in_flight += group.in_flight;
      totals.dead += group.dead;
      totals.acked += group.acked_total;
      totals.oldest = std::max(totals.oldest, group.oldest_age);
      if (group.group == collectors) totals.collectors += group.consumers;
    }
  }
  return totals;
}

void append_rate(std::string& body, std::string_view name, const std::optional<double>& rate) {
  if (rate) {
    append_number_member(body, name, *rate);
  } else {
    append_null_member(body, name);
  }
}

void append_queue(std::string& body, bool configured, const std::string& trouble,
                  const std::vector<queue::TopicStatistics>* topics) {
  json::append_key(body, "queue");
  body += '{';
  append_bool_member(body, "configured", configured);
  append_bool_member(body, "reachable", topics != nullptr);
  if (!trouble.empty()) json::append_member(body, "error", trouble);
  json::append_key(body, "topics");
  if (topics == nullptr) {
    body += "[]}";
    return;
  }
  // {"topics":[...]}, of which the list is wanted.
  const std::string statistics = queue::json::write_statistics(*topics);
  const std::size_t begin = statistics.find('[');
  body += statistics.substr(begin, statistics.rfind(']') + 1 - begin);
  body += '}';
}

using Topics = std::vector<queue::TopicStatistics>;

// `statistics`: null when there is no queue to be asked.
std::string pipeline_document(ApiContext& context, const Result<Topics>* statistics) {
  const bool reachable = statistics != nullptr && statistics->has_value();
  const Topics* const topics = reachable ? &statistics->value() : nullptr;
  std::string trouble;
  if (statistics != nullptr && !reachable) trouble = statistics->error().message;
  std::string body = "{";
  append_time_member(body, "time", context.clock.now());
  append_queue(body, context.pipeline.queue != nullptr, trouble, topics);
  PipelineCounts counts;
  Totals totals;
  if (topics != nullptr) {
    totals = totals_of(*topics, context.pipeline.consumer_group);
    counts.published = totals.published;
    counts.acked = totals.acked;
  }
  if (context.pipeline.samples_stored) counts.stored = context.pipeline.samples_stored();
  const PipelineRates rates = context.pipeline_history.add(counts, context.clock.steady_now());
  json::append_key(body, "rates");
  body += '{';
  append_rate(body, "published_per_second", rates.published);
  append_rate(body, "acked_per_second", rates.acked);
  append_rate(body, "samples_stored_per_second", rates.stored);
  body += '}';
  const auto append_total = [&](std::string_view name, std::uint64_t value) {
    if (topics != nullptr) {
      append_count_member(body, name, value);
    } else {
      append_null_member(body, name);
    }
  };
  append_total("depth", totals.depth);
  if (topics != nullptr) {
    append_seconds_member(body, "oldest_age_seconds", totals.oldest);
  } else {
    append_null_member(body, "oldest_age_seconds");
  }
  append_total("in_flight", totals.in_flight);
  append_total("dead", totals.dead);
  append_null_member(body, "streamers");
  append_total("collectors", totals.collectors);
  body += '}';
  return body;
}

awaitable<http::Response> get_pipeline(ApiContext& context) {
  if (!context.pipeline.queue) {
    co_return http::json_response(200, pipeline_document(context, nullptr));
  }
  auto call = context.pipeline.queue->statistics();
  const auto topics = co_await in_time(std::move(call));
  co_return http::json_response(200, pipeline_document(context, &topics));
}

struct LettersQuestion {
  std::string topic;
  std::string group;
  std::size_t max = 0;
};

Result<LettersQuestion> parse_letters(const ApiContext& context, const http::Request& request) {
  LettersQuestion question;
  const auto topic = only_value(request, "topic");
  if (!topic) return topic.error();
  question.topic = topic->value_or(context.pipeline.topic);
  const auto group = only_value(request, "consumer_group");
  if (!group) return group.error();
  question.group = group->value_or(context.pipeline.consumer_group);
  const auto max = only_value(request, "max");
  if (!max) return max.error();
  question.max = kDefaultLetters;
  if (*max) {
    const std::string_view text = **max;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), question.max);
    if (error != std::errc{} || end != text.data() + text.size() || question.max < 1 ||
        question.max > kMaxLetters) {
      return invalid("max: '" + std::string(text.substr(0, 40)) +
                     "' is not a whole number from 1 to " + std::to_string(kMaxLetters));
    }
  }
  return question;
}

awaitable<http::Response> list_letters(ApiContext& context, const http::Request& request) {
  const auto question = parse_letters(context, request);
  if (!question) co_return http::problem(question.error());
  if (!context.pipeline.queue) co_return http::problem(no_queue());
  auto call = context.pipeline.queue->dead_letters(question->topic, question->group, question->max);
  const auto letters = co_await in_time(std::move(call));
  if (!letters) co_return http::problem(letters.error());
  co_return http::json_response(200, queue::json::write_dead_letters(*letters));
}

enum class Fate { kRedrive, kPurge };

// A request that a page of somebody else could make a browser send has another type.
bool is_json(const http::Request& request) {
  const std::string_view type = request.headers.get("Content-Type");
  return type.substr(0, type.find(';')) == "application/json";
}

awaitable<http::Response> settle_letters(ApiContext& context, const http::Request& request,
                                         Fate fate) {
  if (!context.may_change) {
    co_return http::problem(
        403,
        "without API_TOKENS_FILE dead letters are redriven and purged only through a gateway "
        "that is bound to a loopback address");
  }
  if (!is_json(request)) {
    co_return http::problem(415, "the body is JSON: send it with Content-Type: application/json");
  }
  const auto body = queue::json::read_letters(request.body);
  if (!body) co_return http::problem(body.error());
  if (!context.pipeline.queue) co_return http::problem(no_queue());
  queue::MessageQueue& queue = *context.pipeline.queue;
  auto call = fate == Fate::kRedrive ? queue.redrive(body->topic, body->group, body->message_ids)
                                     : queue.purge(body->topic, body->group, body->message_ids);
  const auto count = co_await in_time(std::move(call));
  if (!count) co_return http::problem(count.error());
  co_return http::json_response(200, queue::json::write_count(*count));
}

http::Route letters_route(ApiContext& context, Fate fate) {
  const bool redrives = fate == Fate::kRedrive;
  http::Route route = describe(
      redrives ? "/api/v1/pipeline/dead-letters/redrive" : "/api/v1/pipeline/dead-letters/purge",
      redrives ? "redrivePipelineDeadLetters" : "purgePipelineDeadLetters",
      redrives ? "Make dead letters ready again" : "Forget dead letters", "pipeline");
  route.method = http::Method::kPost;
  route.doc.description =
      "Those of `message_ids`, or all without it. Needs a token of the role admin; where no tokens "
      "are configured, a gateway that is bound to a loopback address.";
  route.handler = [&context, fate](http::Request& request) {
    return settle_letters(context, request, fate);
  };
  route.doc.request_schema_json = schema_reference("DeadLetterChoice");
  route.doc.responses.push_back(answer_of("How many there were", "DeadLetterCount", {}));
  add_problems(route.doc, {400, 409, 415, 503});
  return route;
}

}  // namespace

Result<void> add_pipeline_routes(http::Router& router, ApiContext& context) {
  http::Route pipeline =
      describe("/api/v1/pipeline", "getPipeline",
               "What is under way between the streamers and storage", "pipeline");
  pipeline.doc.description =
      "Rates are since the first question of the last 30 s, null at the first one. Numbers of a "
      "queue that is not configured or does not answer are null.";
  pipeline.handler = [&context](http::Request&) { return get_pipeline(context); };
  pipeline.doc.responses.push_back(answer_of("The queue, its depth and its rates", "Pipeline", {}));

  http::Route letters = describe("/api/v1/pipeline/dead-letters", "listPipelineDeadLetters",
                                 "Messages that no collector could store, and why", "pipeline");
  letters.handler = [&context](http::Request& request) { return list_letters(context, request); };
  letters.doc.parameters.push_back(
      query_parameter("topic", "Whose; the pipeline's without it", R"({"type":"string"})"));
  letters.doc.parameters.push_back(query_parameter(
      "consumer_group", "Whose; the collectors' without it", R"({"type":"string"})"));
  letters.doc.parameters.push_back(
      query_parameter("max", "At most so many, the oldest",
                      R"({"type":"integer","minimum":1,"maximum":1000,"default":100})"));
  letters.doc.responses.push_back(answer_of("The dead letters, oldest first", "DeadLetters", {}));
  add_problems(letters.doc, {400, 409, 503});

  http::Route redrive = letters_route(context, Fate::kRedrive);
  http::Route purge = letters_route(context, Fate::kPurge);
  for (http::Route* route : {&pipeline, &letters, &redrive, &purge}) {
    if (auto added = router.add(std::move(*route)); !added) return added;
  }
  return {};
}

}  // namespace gpu_telemetry::services
