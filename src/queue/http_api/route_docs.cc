#include "queue/http_api/route_docs.h"

#include <string>

namespace gpu_telemetry::queue {
namespace {

constexpr std::string_view kName = R"({"type":"string","pattern":"^[A-Za-z0-9._-]{1,100}$"})";

constexpr std::string_view kOutgoing = R"({"type":"object","properties":{
 "payload":{"type":"string","description":"Text; or payload_base64"},
 "payload_base64":{"type":"string","contentEncoding":"base64"},
 "headers":{"type":"object","maxProperties":100,"additionalProperties":{"type":"string"}},
 "id":{"type":"string","minLength":1,"maxLength":200,
  "description":"For five minutes the same id in the topic is the same message"}},
"oneOf":[{"required":["payload"]},{"required":["payload_base64"]}],
"additionalProperties":false,
"examples":[{"payload":"text","id":"row-17"}]})";

constexpr std::string_view kShardProgress = R"({"type":"object",
"description":"Shards that the messages were read from: they move together with the messages",
"required":["source","member","steps"],"properties":{
 "source":{"type":"string","minLength":1,"maxLength":200},
 "member":{"type":"string","minLength":1,"maxLength":200},
 "steps":{"type":"array","minItems":1,"maxItems":64,"items":{"type":"object",
  "required":["shard","fence","from","to"],"properties":{
   "shard":{"type":"integer","minimum":0,"maximum":63},
   "fence":{"type":"integer","minimum":0},
   "from":{"type":"integer","minimum":0},
   "to":{"type":"integer","minimum":0},
   "finished":{"type":"boolean","default":false}},
  "additionalProperties":false}}},
"additionalProperties":false,
"examples":[{"source":"fleet.csv","member":"host-1","steps":[{"shard":3,"fence":7,"from":0,
 "to":4096}]}]})";

constexpr std::string_view kShardRequest = R"({"type":"object",
"required":["topic","source","member"],"properties":{
 "topic":{"$ref":"#/components/schemas/Name"},
 "source":{"type":"string","minLength":1,"maxLength":200,"description":"What is shared"},
 "member":{"type":"string","minLength":1,"maxLength":200,"description":"Who reads"},
 "ttl":{"type":"string","pattern":"^[1-9][0-9]{0,2}s$","default":"15s",
  "description":"Membership and leases end so long after the last call, 1 s to 1 h"},
 "give_back":{"type":"array","maxItems":64,"items":{"type":"integer","minimum":0,"maximum":63}},
 "leave":{"type":"boolean","default":false}},
"additionalProperties":false,
"examples":[{"topic":"telemetry","source":"fleet.csv","member":"host-1","ttl":"15s"}]})";

constexpr std::string_view kShardAssignment = R"({"type":"object",
"required":["held","surplus","members","finished"],"properties":{
 "held":{"type":"array","items":{"type":"object",
  "required":["shard","fence","position","finished"],"properties":{
   "shard":{"type":"integer"},"fence":{"type":"integer"},
   "position":{"type":"integer","description":"How far the shard has been published"},
   "finished":{"type":"boolean"}}}},
 "surplus":{"type":"integer","description":"So many are waited for by others: give them back"},
 "members":{"type":"integer"},
 "finished":{"type":"boolean","description":"Every shard of the source is"}},
"examples":[{"held":[{"shard":3,"fence":7,"position":0,"finished":false}],"surplus":0,"members":1,
 "finished":false}]})";

constexpr std::string_view kPublish = R"({"oneOf":[
 {"type":"object","required":["topic"],"properties":{
  "topic":{"$ref":"#/components/schemas/Name"},
  "payload":{"type":"string"},
  "payload_base64":{"type":"string","contentEncoding":"base64"},
  "headers":{"type":"object","maxProperties":100,"additionalProperties":{"type":"string"}},
  "id":{"type":"string","minLength":1,"maxLength":200},
  "progress":{"$ref":"#/components/schemas/ShardProgress"}},
  "oneOf":[{"required":["payload"]},{"required":["payload_base64"]}],
  "additionalProperties":false},
 {"type":"object","required":["topic","messages"],"properties":{
  "topic":{"$ref":"#/components/schemas/Name"},
  "messages":{"type":"array","minItems":1,"maxItems":10000,
   "items":{"$ref":"#/components/schemas/OutgoingMessage"}},
  "progress":{"$ref":"#/components/schemas/ShardProgress"}},
  "additionalProperties":false},
 {"type":"object","required":["topic","progress"],"properties":{
  "topic":{"$ref":"#/components/schemas/Name"},
  "progress":{"$ref":"#/components/schemas/ShardProgress"}},
  "additionalProperties":false}],
"examples":[{"topic":"telemetry","payload":"text"},
 {"topic":"telemetry","messages":[{"payload":"a"},{"payload":"b","id":"row-18"}]}]})";

constexpr std::string_view kPublished = R"({"type":"object","required":["status"],"properties":{
 "status":{"type":"string","enum":["success"]},
 "message_id":{"type":"string"},
 "duplicate":{"type":"boolean","description":"The id was known: the message id is the first one's"},
 "results":{"type":"array","items":{"type":"object","required":["message_id"],"properties":{
  "message_id":{"type":"string"},"duplicate":{"type":"boolean"}}}}},
"examples":[{"status":"success","message_id":"Zk3"}]})";

constexpr std::string_view kDelivery = R"({"type":"object",
"required":["message_id","receipt","headers","timestamp","delivery_count"],"properties":{
 "message_id":{"type":"string"},
 "receipt":{"type":"string","description":"Names this delivery"},
 "payload":{"type":"string"},
 "payload_base64":{"type":"string","description":"In place of payload when it is not UTF-8"},
 "headers":{"type":"object","additionalProperties":{"type":"string"}},
 "timestamp":{"type":"string","format":"date-time"},
 "delivery_count":{"type":"integer","minimum":1}}})";

constexpr std::string_view kDeliveries = R"({"type":"object","required":["messages","count"],
"properties":{"messages":{"type":"array","items":{"$ref":"#/components/schemas/Delivery"}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"messages":[{"message_id":"Zk3","receipt":"Zk3x7","payload":"text","headers":{},
 "timestamp":"2025-07-18T20:42:34Z","delivery_count":1}],"count":1}]})";

constexpr std::string_view kEntries = R"("message_id":{"type":"string","minLength":1},
 "receipt":{"type":"string","minLength":1},
 "message_ids":{"type":"array","minItems":1,"maxItems":10000,"items":{"type":"string"}},
 "receipts":{"type":"array","minItems":1,"maxItems":10000,"items":{"type":"string"}})";

constexpr std::string_view kOneKindOfEntry =
    R"("oneOf":[{"required":["message_id"]},{"required":["receipt"]},{"required":["message_ids"]},
 {"required":["receipts"]}],"additionalProperties":false)";

// `more`: further properties, each with a comma before it.
std::string settle_schema(std::string_view required, std::string_view more) {
  return R"({"type":"object","required":[)" + std::string(required) +
         R"(],"properties":{"topic":{"$ref":"#/components/schemas/Name"},
 "consumer_group":{"$ref":"#/components/schemas/Name"},)" +
         std::string(kEntries) + std::string(more) + "}," + std::string(kOneKindOfEntry) + "}";
}

constexpr std::string_view kSettled = R"({"type":"object",
"required":["status","done","unknown","results"],"properties":{
 "status":{"type":"string","enum":["success","partial"]},
 "done":{"type":"integer","minimum":0},
 "unknown":{"type":"integer","minimum":0,
  "description":"No such lease: settled already, run out, or never given out"},
 "results":{"type":"array","items":{"type":"object","required":["id","status"],"properties":{
  "id":{"type":"string"},"status":{"type":"string","enum":["done","unknown"]}}}}},
"examples":[{"status":"success","done":1,"unknown":0,"results":[{"id":"Zk3","status":"done"}]}]})";

constexpr std::string_view kStatistics = R"({"type":"object","required":["topics"],"properties":{
 "topics":{"type":"array","items":{"type":"object",
  "required":["topic","messages","bytes","published_total","rejected_total","deduplicated_total",
   "groups","sources"],"properties":{
   "topic":{"type":"string"},
   "messages":{"type":"integer"},
   "bytes":{"type":"integer"},
   "published_total":{"type":"integer"},
   "rejected_total":{"type":"integer"},
   "deduplicated_total":{"type":"integer"},
   "groups":{"type":"array","items":{"type":"object",
    "required":["consumer_group","ready","in_flight","delayed","dead","oldest_age_seconds",
     "consumers"],"properties":{
     "consumer_group":{"type":"string"},
     "ready":{"type":"integer"},
     "in_flight":{"type":"integer"},
     "delayed":{"type":"integer"},
     "dead":{"type":"integer"},
     "oldest_age_seconds":{"type":"number"},
     "consumers":{"type":"integer"}}}},
   "sources":{"type":"array","description":"Those that readers share","items":{"type":"object",
    "required":["source","members","shards_held","finished"],"properties":{
     "source":{"type":"string"},
     "members":{"type":"integer"},
     "shards_held":{"type":"integer"},
     "finished":{"type":"boolean"}}}}}}}},
"examples":[{"topics":[]}]})";

constexpr std::string_view kDeadLetterList = R"({"type":"object","required":["messages","count"],
"properties":{"messages":{"type":"array","items":{"type":"object",
  "required":["message_id","headers","timestamp","died_at","delivery_count","reason"],"properties":{
   "message_id":{"type":"string"},
   "payload":{"type":"string"},
   "payload_base64":{"type":"string"},
   "headers":{"type":"object","additionalProperties":{"type":"string"}},
   "timestamp":{"type":"string","format":"date-time"},
   "died_at":{"type":"string","format":"date-time"},
   "delivery_count":{"type":"integer"},
   "reason":{"type":"string"}}}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"messages":[],"count":0}]})";

constexpr std::string_view kLetters = R"({"type":"object","required":["topic","consumer_group"],
"properties":{"topic":{"$ref":"#/components/schemas/Name"},
 "consumer_group":{"$ref":"#/components/schemas/Name"},
 "message_ids":{"type":"array","minItems":1,"maxItems":10000,
  "items":{"type":"string"}}},
"additionalProperties":false,
"examples":[{"topic":"telemetry","consumer_group":"collectors"}]})";

constexpr std::string_view kCount = R"({"type":"object","required":["status","count"],"properties":{
 "status":{"type":"string","enum":["success"]},"count":{"type":"integer","minimum":0}},
"examples":[{"status":"success","count":3}]})";

constexpr std::string_view kSuccess = R"({"type":"object","required":["status"],"properties":{
 "status":{"type":"string","enum":["success"]}},"examples":[{"status":"success"}]})";

constexpr RouteSchema kSchemas[] = {
    {"Name", kName},
    {"OutgoingMessage", kOutgoing},
    {"ShardProgress", kShardProgress},
    {"ShardRequest", kShardRequest},
    {"ShardAssignment", kShardAssignment},
    {"Publish", kPublish},
    {"Published", kPublished},
    {"Delivery", kDelivery},
    {"Deliveries", kDeliveries},
    {"Settled", kSettled},
    {"QueueStatistics", kStatistics},
    {"QueueDeadLetters", kDeadLetterList},
    {"Letters", kLetters},
    {"Count", kCount},
    {"Success", kSuccess},
};

std::string reference(std::string_view schema) {
  return R"({"$ref":"#/components/schemas/)" + std::string(schema) + "\"}";
}

void add_query(http::OperationDoc& doc, std::string name, std::string description,
               std::string schema, bool required = false) {
  http::ParameterDoc parameter;
  parameter.name = std::move(name);
  parameter.in = "query";
  parameter.description = std::move(description);
  parameter.schema_json = std::move(schema);
  parameter.required = required;
  doc.parameters.push_back(std::move(parameter));
}

void add_group(http::OperationDoc& doc) {
  add_query(doc, "topic", "Which topic", reference("Name"), true);
  add_query(doc, "consumer_group", "Which consumer group", reference("Name"), true);
}

void add_consumer(http::OperationDoc& doc) {
  add_group(doc);
  add_query(doc, "consumer_id", "Shown in statistics; the client's address without it",
            R"({"type":"string","minLength":1,"maxLength":200})");
}

void add_answer(http::OperationDoc& doc, std::string description, std::string_view schema) {
  http::ResponseDoc answer;
  answer.description = std::move(description);
  answer.schema_json = reference(schema);
  doc.responses.push_back(std::move(answer));
}

void add_problem(http::OperationDoc& doc, int status, std::string description) {
  http::ResponseDoc problem;
  problem.status = status;
  problem.description = std::move(description);
  problem.media_type = "application/problem+json";
  problem.schema_json = reference("Problem");
  doc.responses.push_back(std::move(problem));
}

void add_common_problems(http::OperationDoc& doc) {
  add_problem(doc, 400, "The body or a parameter is malformed, unknown or past its limit");
  add_problem(doc, 503, "The engine does not answer, or the service is shutting down");
  if (doc.request_schema_json.empty()) return;
  add_problem(doc, 413, "The body, or a message in it, is too long");
  add_problem(doc, 415, "A binary body of a version that is not known");
}

void document_consuming(http::OperationDoc& doc) {
  add_consumer(doc);
  if (doc.id == "fetchMessages") {
    add_query(doc, "max", "Deliveries at most",
              R"({"type":"integer","minimum":1,"maximum":10000,"default":1})");
    add_query(doc, "wait", "How long to wait for the first message, at most `60s`",
              R"({"type":"string","pattern":"^([0-9]{1,4}ms|[0-9]s|0)$","default":"0s"})");
    add_answer(doc, "What there is; none when the wait ended without any", "Deliveries");
    return;
  }
  add_query(doc, "prefetch", "Deliveries that may be unsettled at a time",
            R"({"type":"integer","minimum":1,"maximum":10000,"default":10})");
  http::ResponseDoc events;
  events.description = "`connected`, then `message` events whose data is a Delivery";
  events.media_type = "text/event-stream";
  events.schema_json = R"({"type":"string"})";
  doc.responses.push_back(std::move(events));
}

void document_settling(http::OperationDoc& doc) {
  constexpr std::string_view kRequired = R"("topic","consumer_group")";
  constexpr std::string_view kDuration = R"({"type":"string","pattern":"^[0-9]{1,5}(ms|s)$"})";
  if (doc.id == "ackMessages") {
    doc.request_schema_json = settle_schema(kRequired, {});
  } else if (doc.id == "nackMessages") {
    doc.request_schema_json = settle_schema(
        kRequired,
        ",\"delay\":" + std::string(kDuration) +
            R"(,"dead_letter":{"type":"string","minLength":1},"release":{"const":true})");
  } else {
    doc.request_schema_json = settle_schema(std::string(kRequired) + ",\"visibility\"",
                                            ",\"visibility\":" + std::string(kDuration));
  }
  add_answer(doc, "What became of each entry, in the order of the request", "Settled");
}

}  // namespace

void document_route(http::OperationDoc& doc) {
  if (doc.id == "publishMessages") {
    doc.request_schema_json = reference("Publish");
    add_answer(doc, "The messages are as safe as the engine makes them", "Published");
    add_problem(doc, 409, "A lease of the progress is lost, or its shard is elsewhere");
    add_problem(doc, 429, "A limit of the queue is reached; nothing was accepted. See Retry-After");
  } else if (doc.id == "shareSource") {
    doc.request_schema_json = reference("ShardRequest");
    add_answer(doc, "What the member holds now", "ShardAssignment");
    add_problem(doc, 429, "As many topics, sources or members as may be");
  } else if (doc.id == "fetchMessages" || doc.id == "subscribe") {
    document_consuming(doc);
    add_problem(doc, 429, "As many topics or groups as may be");
  } else if (doc.id == "ackMessages" || doc.id == "nackMessages" || doc.id == "extendLeases") {
    document_settling(doc);
  } else if (doc.id == "getQueueStatistics") {
    add_answer(doc, "Topics and their groups; totals count from the start of the process",
               "QueueStatistics");
  } else if (doc.id == "listDeadLetters") {
    add_group(doc);
    add_query(doc, "max", "At most so many, the oldest",
              R"({"type":"integer","minimum":1,"maximum":10000,"default":100})");
    add_answer(doc, "The dead letters, oldest first", "QueueDeadLetters");
  } else if (doc.id == "redriveDeadLetters" || doc.id == "purgeDeadLetters") {
    doc.request_schema_json = reference("Letters");
    add_answer(doc, "How many there were", "Count");
  } else if (doc.id == "deleteConsumerGroup") {
    add_group(doc);
    add_answer(doc, "The group, its leases and its dead letters are gone", "Success");
    add_problem(doc, 404, "There is no such group");
  }
  add_common_problems(doc);
}

std::span<const RouteSchema> route_schemas() { return kSchemas; }

}  // namespace gpu_telemetry::queue
