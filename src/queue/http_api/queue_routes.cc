#include "queue/http_api/queue_routes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "http/bearer.h"
#include "http/encoding.h"
#include "queue/http_api/binary_body.h"
#include "queue/http_api/json_body.h"
#include "queue/http_api/query.h"
#include "queue/http_api/route_docs.h"
#include "queue/http_api/subscription.h"
#include "queue/http_api/waiting_fetch.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {
namespace {

using Answer = Async<http::Response>;

constexpr ByteSize kMaxOtherBody = 4_MiB;

// What the handlers share; as old as the routes.
struct Api {
  QueueApiOptions options;
  MessageQueue& queue;
  SubscriptionRegistry subscriptions;

  Api(QueueApiOptions given, MessageQueue& over) : options(std::move(given)), queue(over) {}
};

http::Response with_header(http::Response response, std::string name, std::string value) {
  response.headers.add(std::move(name), std::move(value));
  return response;
}

// 429 means "the queue is full", which a client waits out; 503 that something is wrong.
http::Response error_answer(const Error& error) {
  if (error.code == ErrorCode::kFull) {
    return with_header(http::problem(429, error.message), "Retry-After", "1");
  }
  if (error.code == ErrorCode::kCancelled) return http::problem(unavailable(error.message));
  // Only the caller's bytes can be corrupt here: what an engine finds in its own is kUnavailable or
  // worse, and never reaches a body.
  if (error.code == ErrorCode::kCorrupt) return http::problem(400, error.message);
  return http::problem(error);
}

bool is_binary(std::string_view media_type) {
  const std::string_view type = http::trim(media_type.substr(0, media_type.find(';')));
  return http::equal_ignoring_case(type, kBinaryMediaType);
}

bool sends_binary(const http::Request& request) {
  return is_binary(request.headers.get("Content-Type"));
}

bool wants_binary(const http::Request& request) {
  std::string_view accepted = request.headers.get("Accept");
  while (!accepted.empty()) {
    const std::string_view one = accepted.substr(0, accepted.find(','));
    if (is_binary(one)) return true;
    accepted.remove_prefix(std::min(accepted.size(), one.size() + 1));
  }
  return false;
}

http::Response binary_response(std::string body) {
  http::Response response;
  response.headers.add("Content-Type", std::string(kBinaryMediaType));
  response.body = std::move(body);
  return response;
}

http::Response json_ok(std::string body) { return http::json_response(200, std::move(body)); }

// The body as either reader understands it, or the answer to one that cannot be understood.
template <class Body>
struct Read {
  Result<Body> body;
  http::Response refusal;
};
template <class Body, class FromBinary, class FromJson>
Read<Body> read_body(const http::Request& request, FromBinary from_binary, FromJson from_json) {
  Read<Body> read{internal("not read"), {}};
  if (auto empty = read_empty_query(request); !empty) {
    read.body = empty.error();
    read.refusal = error_answer(empty.error());
    return read;
  }
  const bool binary = sends_binary(request);
  read.body = binary ? from_binary(request.body) : from_json(request.body);
  if (read.body) return read;
  const bool other_version = binary && binary::is_other_version(request.body);
  read.refusal = other_version ? http::problem(415, read.body.error().message)
                               : error_answer(read.body.error());
  return read;
}

// A HEAD that leased messages would lose them.
http::Response refuse_head() {
  return with_header(http::problem(405, "this resource answers only GET"), "Allow", "GET");
}

Answer publish(Api& api, http::Request& request) {
  auto read = read_body<PublishBody>(request, binary::read_publish, json::read_publish);
  if (!read.body) co_return std::move(read.refusal);
  for (std::size_t i = 0; i < read.body->messages.size(); ++i) {
    const OutgoingMessage& message = read.body->messages[i];
    const std::uint64_t size = message_size(message.payload, message.headers);
    if (size <= api.options.max_message_size.bytes) continue;
    co_return http::problem(413, "message " + std::to_string(i) + " has " + std::to_string(size) +
                                     " bytes of payload and headers: at most " +
                                     std::to_string(api.options.max_message_size.bytes) +
                                     " are accepted");
  }
  const bool batch = read.body->batch;
  request.body = std::string();  // the messages are copies
  const auto published = co_await api.queue.publish(
      std::move(read.body->topic), std::move(read.body->messages), std::move(read.body->progress));
  if (!published) co_return error_answer(published.error());
  if (wants_binary(request)) co_return binary_response(binary::write_published(*published));
  co_return json_ok(json::write_published(*published, batch));
}

Answer shards(Api& api, http::Request& request) {
  auto read = read_body<ShardRequest>(request, binary::read_shards, json::read_shards);
  if (!read.body) co_return std::move(read.refusal);
  const auto assignment = co_await api.queue.shards(std::move(*read.body));
  if (!assignment) co_return error_answer(assignment.error());
  if (wants_binary(request)) co_return binary_response(binary::write_assignment(*assignment));
  co_return json_ok(json::write_assignment(*assignment));
}

Answer fetch(Api& api, http::Request& request) {
  if (request.method == http::Method::kHead) co_return refuse_head();
  Result<FetchRequest> wanted = read_fetch_query(request);
  if (!wanted) co_return error_answer(wanted.error());
  const auto found =
      co_await fetch_unless_interrupted(api.queue, std::move(*wanted), *request.interruption);
  if (!found) co_return error_answer(found.error());
  if (wants_binary(request)) co_return binary_response(binary::write_deliveries(*found));
  co_return json_ok(json::write_deliveries(*found));
}

Answer subscribe(Api& api, http::Request& request) {
  if (request.method == http::Method::kHead) co_return refuse_head();
  Result<FetchRequest> wanted = read_subscribe_query(request);
  if (!wanted) co_return error_answer(wanted.error());
  // So that an engine that is away, or out of room for groups, is an answer and not a cut stream.
  const auto reachable = co_await api.queue.statistics();
  if (!reachable) co_return error_answer(reachable.error());
  const auto subscription = std::make_shared<Subscription>(
      api.queue, api.subscriptions, api.options, std::move(*wanted), *request.interruption);
  http::Response response;
  response.headers.add("Content-Type", "text/event-stream");
  response.headers.add("Cache-Control", "no-store");
  response.headers.add("X-Accel-Buffering", "no");  // a proxy that buffers would hold events back
  response.stream = [subscription](http::BodyWriter& writer) { return subscription->run(writer); };
  co_return response;
}

Read<SettleBody> read_settle(const http::Request& request, Settlement settlement) {
  const auto from_binary = [settlement](std::string_view bytes) {
    return binary::read_settle(settlement, bytes);
  };
  const auto from_json = [settlement](std::string_view text) {
    return json::read_settle(settlement, text);
  };
  return read_body<SettleBody>(request, from_binary, from_json);
}

http::Response settled_answer(const http::Request& request, const SettleBody& body,
                              const Result<std::vector<Settled>>& results) {
  if (!results) return error_answer(results.error());
  if (wants_binary(request)) return binary_response(binary::write_settled(*results));
  return json_ok(json::write_settled(body.request.receipts_or_ids, *results));
}

Answer ack(Api& api, http::Request& request) {
  const auto read = read_settle(request, Settlement::kAck);
  if (!read.body) co_return read.refusal;
  const auto results = co_await api.queue.ack(read.body->request);
  if (results) api.subscriptions.settled(read.body->request, *results);
  co_return settled_answer(request, *read.body, results);
}

Answer nack(Api& api, http::Request& request) {
  const auto read = read_settle(request, Settlement::kNack);
  if (!read.body) co_return read.refusal;
  const auto results = co_await api.queue.nack(read.body->request, read.body->nack);
  if (results) api.subscriptions.settled(read.body->request, *results);
  co_return settled_answer(request, *read.body, results);
}

Answer extend(Api& api, http::Request& request) {
  const auto read = read_settle(request, Settlement::kExtend);
  if (!read.body) co_return read.refusal;
  const std::chrono::milliseconds visibility = read.body->visibility;
  const auto results = co_await api.queue.extend(read.body->request, visibility);
  if (results) api.subscriptions.extended(read.body->request, *results, visibility);
  co_return settled_answer(request, *read.body, results);
}

Answer statistics(Api& api, http::Request& request) {
  if (auto empty = read_empty_query(request); !empty) co_return error_answer(empty.error());
  const auto topics = co_await api.queue.statistics();
  if (!topics) co_return error_answer(topics.error());
  if (wants_binary(request)) co_return binary_response(binary::write_statistics(*topics));
  co_return json_ok(json::write_statistics(*topics));
}

Answer dead_letters(Api& api, http::Request& request) {
  Result<GroupQuery> query = read_dead_letters_query(request);
  if (!query) co_return error_answer(query.error());
  const auto letters =
      co_await api.queue.dead_letters(std::move(query->topic), std::move(query->group), query->max);
  if (!letters) co_return error_answer(letters.error());
  if (wants_binary(request)) co_return binary_response(binary::write_dead_letters(*letters));
  co_return json_ok(json::write_dead_letters(*letters));
}

http::Response count_answer(const http::Request& request, const Result<std::uint64_t>& count) {
  if (!count) return error_answer(count.error());
  if (wants_binary(request)) return binary_response(binary::write_count(*count));
  return json_ok(json::write_count(*count));
}

Answer redrive(Api& api, http::Request& request) {
  auto read = read_body<LettersBody>(request, binary::read_letters, json::read_letters);
  if (!read.body) co_return std::move(read.refusal);
  LettersBody& body = *read.body;
  const auto count = co_await api.queue.redrive(std::move(body.topic), std::move(body.group),
                                                std::move(body.message_ids));
  co_return count_answer(request, count);
}

Answer purge(Api& api, http::Request& request) {
  auto read = read_body<LettersBody>(request, binary::read_letters, json::read_letters);
  if (!read.body) co_return std::move(read.refusal);
  LettersBody& body = *read.body;
  const auto count = co_await api.queue.purge(std::move(body.topic), std::move(body.group),
                                              std::move(body.message_ids));
  co_return count_answer(request, count);
}

Answer delete_group(Api& api, http::Request& request) {
  Result<GroupQuery> query = read_group_query(request);
  if (!query) co_return error_answer(query.error());
  const auto deleted =
      co_await api.queue.delete_group(std::move(query->topic), std::move(query->group));
  if (!deleted) co_return error_answer(deleted.error());
  if (wants_binary(request)) co_return binary_response(binary::write_count(0));
  co_return json_ok(R"({"status":"success"})");
}

bool is_authorized(const Api& api, const http::Request& request) {
  if (!api.options.token) return true;
  const std::string_view given = http::bearer_token(request.headers.get("Authorization"));
  return http::same_secret(given, api.options.token());
}

// Before the body is read: what a stranger sends costs no memory.
std::optional<http::Response> refuse_stranger(const Api& api, const http::Request& request) {
  if (is_authorized(api, request)) return std::nullopt;
  return with_header(http::problem(401,
                                   "Authorization: Bearer with the service's token is "
                                   "needed"),
                     "WWW-Authenticate", "Bearer");
}

using ApiHandler = Answer (*)(Api&, http::Request&);

struct Row {
  http::Method method;
  const char* path;
  const char* id;
  const char* summary;
  ApiHandler handler;
};

constexpr Row kRows[] = {
    {http::Method::kPost, "publish", "publishMessages", "Publish one message or a batch", publish},
    {http::Method::kPost, "shards", "shareSource", "Share a source with other readers", shards},
    {http::Method::kGet, "fetch", "fetchMessages", "Lease messages, waiting for the first", fetch},
    {http::Method::kGet, "subscribe", "subscribe", "Be sent messages as server-sent events",
     subscribe},
    {http::Method::kPost, "ack", "ackMessages", "Settle deliveries: done", ack},
    {http::Method::kPost, "nack", "nackMessages", "Settle deliveries: again, or never", nack},
    {http::Method::kPost, "extend", "extendLeases", "Move the end of leases", extend},
    {http::Method::kGet, "stats", "getQueueStatistics", "What is in the queue", statistics},
    {http::Method::kGet, "dlq", "listDeadLetters", "List dead letters", dead_letters},
    {http::Method::kPost, "dlq/redrive", "redriveDeadLetters", "Make dead letters ready again",
     redrive},
    {http::Method::kPost, "dlq/purge", "purgeDeadLetters", "Forget dead letters", purge},
    {http::Method::kDelete, "groups", "deleteConsumerGroup", "Delete a consumer group",
     delete_group},
};

}  // namespace

Result<void> add_queue_routes(http::Router& router, QueueApiOptions options, MessageQueue& queue) {
  const auto api = std::make_shared<Api>(std::move(options), queue);
  for (const Row& row : kRows) {
    http::Route route;
    route.method = row.method;
    route.pattern = std::string("/api/v1/queue/") + row.path;
    route.handler = [api, handler = row.handler](http::Request& request) {
      return handler(*api, request);
    };
    route.gate = [api](const http::Request& request) { return refuse_stranger(*api, request); };
    const bool publishes = row.handler == &publish;
    route.max_body = (publishes ? api->options.max_publish_body : kMaxOtherBody).bytes;
    route.doc.id = row.id;
    route.doc.summary = row.summary;
    route.doc.tag = "queue";
    document_route(route.doc);
    if (auto added = router.add(std::move(route)); !added) return added;
  }
  return {};
}

}  // namespace gpu_telemetry::queue
