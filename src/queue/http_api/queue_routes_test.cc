// Each reply of docs/protocol.md, asked for as curl would.
#include "queue/http_api/queue_routes.h"

#include "queue/http_api/api_fixture.h"
#include "queue/http_api/binary_body.h"

namespace gpu_telemetry::queue {
namespace {

using namespace std::chrono_literals;
using http::RawAnswer;
using http::RawConnection;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class QueueRoutesTest : public QueueApiTest {};

// --- publishing

TEST_F(QueueRoutesTest, PublishesOneMessageAndDeliversIt) {
  const RawAnswer published =
      post("publish", R"({"topic":"telemetry","payload":"a \"b\"","headers":{"k":"v"}})");
  EXPECT_EQ(published.status, 200);
  EXPECT_EQ(published.header("Content-Type"), "application/json");
  EXPECT_THAT(published.body, StartsWith(R"({"status":"success","message_id":")"));
  const RawAnswer fetched = fetch("&max=5");
  EXPECT_EQ(fetched.status, 200);
  const std::string id = text_after(published.body, R"("message_id":")");
  EXPECT_THAT(fetched.body, StartsWith(R"({"messages":[{"message_id":")" + id));
  EXPECT_THAT(fetched.body, HasSubstr(R"("payload":"a \"b\"","headers":{"k":"v"},)"));
  EXPECT_THAT(fetched.body, HasSubstr(R"("timestamp":"2025-10-09T08:53:20Z","delivery_count":1})"));
  EXPECT_THAT(fetched.body, HasSubstr(R"(],"count":1})"));
}

TEST_F(QueueRoutesTest, PublishesABatchWithAResultForEach) {
  const RawAnswer answer = post(
      "publish", R"({"topic":"t","messages":[{"payload":"a","id":"1"},{"payload":"b","id":"1"}]})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, StartsWith(R"({"status":"success","results":[{"message_id":")"));
  EXPECT_THAT(answer.body, HasSubstr(R"(","duplicate":true}]})"));
}

TEST_F(QueueRoutesTest, CarriesBytesThatAreNoTextAsBase64) {
  EXPECT_EQ(post("publish", R"({"topic":"telemetry","payload_base64":"AP8="})").status, 200);
  EXPECT_THAT(fetch().body, HasSubstr(R"("payload_base64":"AP8=")"));
}

TEST_F(QueueRoutesTest, ReadsJsonWhateverTheContentTypeIs) {
  const std::string body = R"({"topic":"t","payload":"a"})";
  const std::string type = "Content-Type: application/x-www-form-urlencoded\r\n";
  EXPECT_EQ(ask(request("POST", "publish", body, type)).status, 200);
}

TEST_F(QueueRoutesTest, RefusesBodiesThatMakeNoSenseAndSaysWhy) {
  const auto refused = [this](const std::string& path, const std::string& body,
                              const std::string& why) {
    const RawAnswer answer = post(path, body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.header("Content-Type"), "application/problem+json");
    EXPECT_THAT(answer.body, HasSubstr(why)) << body;
  };
  refused("publish", "", "not JSON");
  refused("publish", "{", "not JSON");
  refused("publish", "[]", "must be a JSON object");
  refused("publish", "7", "must be a JSON object");
  refused("publish", R"({"topic":"t","payload":"a"} x)", "goes on after");
  refused("publish", R"({"topic":"t"})", "payload");
  refused("publish", R"({"payload":"a"})", "topic is missing");
  refused("publish", R"({"topic":"a b","payload":"a"})", "not a name");
  refused("publish", R"({"topic":"t","topic":"t","payload":"a"})", "twice");
  refused("publish", R"({"topic":"t","paylaod":"a"})", "paylaod");
  refused("publish", R"({"topic":7,"payload":"a"})", "topic must be a text");
  refused("publish", R"({"topic":"t","payload":{"a":1}})", "payload must be a text");
  refused("publish", R"({"topic":"t","payload":"a","payload_base64":"AP8="})", "one of");
  refused("publish", R"({"topic":"t","payload_base64":"?"})", "base64");
  refused("publish", R"({"topic":"t","payload":"a","headers":{"k":1}})", "headers");
  refused("publish", R"({"topic":"t","payload":"a","headers":{"k":"","k":""}})", "twice");
  refused("publish", R"({"topic":"t","messages":[]})", "0 messages");
  refused("publish", R"({"topic":"t","messages":["a"]})", "list of objects");
  refused("publish", R"({"topic":"t","messages":[{"payload":"a"},{}]})", "message 1");
  refused("publish", R"({"topic":"t","payload":"b","messages":[{"payload":"a"}]})", "beside");
  refused("publish",
          R"({"topic":"t","payload":")"
          "\xff"
          R"("})",
          "not JSON");
  refused("publish", std::string(100, '['), "must be a JSON object");
  refused("ack", R"({"topic":"t","consumer_group":"g"})", "one of");
  refused("ack", R"({"topic":"t","consumer_group":"g","receipts":[]})", "0 receipts");
  refused("ack", R"({"topic":"t","consumer_group":"g","receipts":"a"})", "list of texts");
  refused("ack", R"({"topic":"t","consumer_group":"g","receipts":[1]})", "must be texts");
  refused("ack", R"({"topic":"t","receipt":"r"})", "consumer_group is missing");
  refused("ack", R"({"topic":"t","consumer_group":"g","receipt":"r","message_id":"m"})", "one of");
  refused("ack", R"({"topic":"t","consumer_group":"g","receipt":"r","delay":"1s"})", "delay");
  refused("nack", R"({"topic":"t","consumer_group":"g","receipt":"r","delay":"1"})", "delay");
  refused("nack", R"({"topic":"t","consumer_group":"g","receipt":"r","delay":"25h"})", "24 h");
  refused("nack", R"({"topic":"t","consumer_group":"g","receipt":"r","release":"yes"})", "true");
  refused("nack",
          R"({"topic":"t","consumer_group":"g","receipt":"r","release":true,)"
          R"("delay":"1s"})",
          "releases");
  refused("extend", R"({"topic":"t","consumer_group":"g","receipt":"r"})", "visibility");
  refused("dlq/purge", R"({"topic":"t","consumer_group":"g","message_ids":[]})", "message_ids");
}

TEST_F(QueueRoutesTest, RefusesQueriesThatMakeNoSenseAndSaysWhy) {
  for (const char* path :
       {"fetch", "fetch?topic=t", "fetch?topic=t&consumer_group=a%20b",
        "fetch?topic=t&consumer_group=g&max=0", "fetch?topic=t&consumer_group=g&max=10001",
        "fetch?topic=t&consumer_group=g&max=x", "fetch?topic=t&consumer_group=g&wait=61s",
        "fetch?topic=t&consumer_group=g&wait=5", "fetch?topic=t&consumer_group=g&consumer=x",
        "fetch?topic=t&topic=u&consumer_group=g", "subscribe?topic=t",
        "subscribe?topic=t&consumer_group=g&prefetch=0", "dlq?topic=t", "stats?topic=t",
        "dlq?topic=t&consumer_group=g&max=-1"}) {
    const RawAnswer answer = get(path);
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_THAT(answer.body, HasSubstr("\"detail\"")) << path;
  }
  EXPECT_EQ(ask(request("DELETE", "groups?topic=t")).status, 400);
}

TEST_F(QueueRoutesTest, RefusesAMessageThatIsTooLargeWith413) {
  api_options_.max_message_size = queue_options_.max_message_size = ByteSize{10};
  EXPECT_EQ(post("publish", R"({"topic":"t","payload":"1234567890"})").status, 200);
  const RawAnswer answer =
      post("publish", R"({"topic":"t","messages":[{"payload":"a"},{"payload":"12345678901"}]})");
  EXPECT_EQ(answer.status, 413);
  EXPECT_THAT(answer.body, HasSubstr("message 1 has 11 bytes"));
}

TEST_F(QueueRoutesTest, RefusesABodyThatIsTooLargeWith413) {
  api_options_.max_publish_body = ByteSize{100};
  EXPECT_EQ(post("publish", std::string(101, ' ')).status, 413);
}

TEST_F(QueueRoutesTest, AnswersAFullQueueWith429AndRetryAfter) {
  queue_options_.max_messages_per_topic = 1;
  EXPECT_EQ(post("publish", R"({"topic":"t","payload":"a"})").status, 200);
  const RawAnswer answer = post("publish", R"({"topic":"t","payload":"b"})");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.header("Retry-After"), "1");
}

TEST_F(QueueRoutesTest, AnswersAQueueThatShutsDownWith503AndRetryAfter) {
  start();
  queue_->shut_down();
  const RawAnswer answer = post("publish", R"({"topic":"t","payload":"b"})");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.header("Retry-After"), "1");
  EXPECT_EQ(get("subscribe?topic=t&consumer_group=g").status, 503);
}

TEST_F(QueueRoutesTest, NeverLeasesForAHead) {
  publish("a");
  for (const char* path : {"fetch", "subscribe"}) {
    const RawAnswer answer =
        ask(request("HEAD", std::string(path) + "?topic=telemetry&consumer_group=g"));
    EXPECT_EQ(answer.status, 405) << path;
    EXPECT_EQ(answer.header("Allow"), "GET");
  }
  EXPECT_THAT(fetch().body, HasSubstr(R"("delivery_count":1)"));
  EXPECT_EQ(get("publish").status, 405);
}

// --- the token

TEST_F(QueueRoutesTest, LetsNobodyInWithoutTheToken) {
  std::string token = "secret";
  api_options_.token = [&token] { return token; };
  const auto status = [this](const std::string& header) {
    const RawAnswer answer = ask(request("GET", "stats", {}, header));
    if (answer.status == 401) {
      EXPECT_EQ(answer.header("WWW-Authenticate"), "Bearer");
    }
    return answer.status;
  };
  EXPECT_EQ(status("Authorization: Bearer secret\r\n"), 200);
  EXPECT_EQ(status("authorization: bearer secret\r\n"), 200);
  for (const char* header :
       {"", "Authorization: Bearer\r\n", "Authorization: Bearer secre\r\n",
        "Authorization: Bearer secrets\r\n", "Authorization: Bearer secretsecret\r\n",
        "Authorization: Basic secret\r\n", "Authorization: secret\r\n"}) {
    EXPECT_EQ(status(header), 401) << header;
  }
  token.clear();
  EXPECT_EQ(status("Authorization: Bearer \r\n"), 401);
  EXPECT_EQ(status("Authorization: Bearer secret\r\n"), 401);
}

TEST_F(QueueRoutesTest, ReadsNoBodyOfSomebodyWithoutTheToken) {
  api_options_.token = [] { return std::string("secret"); };
  http::RawConnection stranger(port());
  ASSERT_TRUE(stranger.send(request("POST", "publish", {}, "Content-Length: 60000000\r\n")));
  EXPECT_EQ(stranger.answer().status, 401);
}

// --- settling

TEST_F(QueueRoutesTest, AnUnknownReceiptIsAResultAndNotAFailure) {
  publish("a");
  const std::string receipt = fetch_receipt();
  const RawAnswer answer = settle("ack", R"("receipts":[")" + receipt + R"(","nonsense"])");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"status":"partial","done":1,"unknown":1,"results":[{"id":")" +
                             receipt +
                             R"(","status":"done"},{"id":"nonsense","status":"unknown"}]})");
}

TEST_F(QueueRoutesTest, SettlesByMessageIdAlone) {
  const std::string id = publish("a");
  fetch();
  EXPECT_THAT(settle("ack", R"("message_id":")" + id + '"').body,
              HasSubstr(R"("success","done":1)"));
  EXPECT_THAT(settle("ack", R"("message_ids":[")" + id + "\"]").body, HasSubstr(R"("unknown":1)"));
}

TEST_F(QueueRoutesTest, NacksWithADelayOrToTheDeadLetters) {
  publish("a");
  settle("nack", R"("receipt":")" + fetch_receipt() + R"(","delay":"10s")");
  EXPECT_THAT(fetch().body, HasSubstr(R"("count":0)"));
  clock_.advance(10s);
  const std::string receipt = fetch_receipt();
  settle("nack", R"("receipt":")" + receipt + R"(","dead_letter":"no batch")");
  const RawAnswer letters = get("dlq?topic=telemetry&consumer_group=g");
  EXPECT_EQ(letters.status, 200);
  EXPECT_THAT(letters.body, HasSubstr(R"("delivery_count":2,"reason":"no batch"}],"count":1})"));
  EXPECT_THAT(letters.body, HasSubstr(R"("died_at":"2025-10-09T08:53:30Z")"));
}

TEST_F(QueueRoutesTest, ReleasesWithoutCountingARetry) {
  publish("a");
  settle("nack", R"("receipt":")" + fetch_receipt() + R"(","release":true)");
  EXPECT_THAT(fetch().body, HasSubstr(R"("delivery_count":1)"));
}

TEST_F(QueueRoutesTest, ExtendsALease) {
  publish("a");
  const RawAnswer answer =
      settle("extend", R"("receipt":")" + fetch_receipt() + R"(","visibility":"1h")");
  EXPECT_THAT(answer.body, HasSubstr(R"("status":"success")"));
  clock_.advance(59min);
  EXPECT_THAT(fetch().body, HasSubstr(R"("count":0)"));
}

TEST_F(QueueRoutesTest, RedrivesAndPurgesDeadLetters) {
  const std::string first = publish("a");
  publish("b");
  publish("c");
  for (int i = 0; i < 3; ++i) {
    settle("nack", R"("receipt":")" + fetch_receipt() + R"(","dead_letter":"bad")");
  }
  EXPECT_EQ(settle("dlq/redrive", R"("message_ids":[")" + first + R"(","unknown"])").body,
            R"({"status":"success","count":1})");
  const std::string group = R"({"topic":"telemetry","consumer_group":"g"})";
  EXPECT_EQ(post("dlq/purge", group).body, R"({"status":"success","count":2})");
  EXPECT_EQ(post("dlq/purge", group).body, R"({"status":"success","count":0})");
  EXPECT_THAT(fetch("&max=9").body, HasSubstr(R"("count":1)"));
}

TEST_F(QueueRoutesTest, DeletesAGroupOnce) {
  fetch();
  const std::string path = "groups?topic=telemetry&consumer_group=g";
  EXPECT_EQ(ask(request("DELETE", path)).body, R"({"status":"success"})");
  EXPECT_EQ(ask(request("DELETE", path)).status, 404);
}

TEST_F(QueueRoutesTest, SharesASource) {
  const auto joined =
      post("shards", R"({"topic":"telemetry","source":"f.csv","member":"a","ttl":"5s"})");
  EXPECT_EQ(joined.status, 200);
  EXPECT_THAT(joined.body, HasSubstr(R"({"shard":63,"fence":1,"position":0,"finished":false}])"));
  EXPECT_THAT(joined.body, HasSubstr(R"("surplus":0,"members":1,"finished":false})"));
  const std::string moved =
      R"({"topic":"telemetry","payload":"x","progress":{"source":"f.csv","member":"a",)"
      R"("steps":[{"shard":3,"fence":1,"from":0,"to":17,"finished":true}]}})";
  EXPECT_EQ(post("publish", moved).status, 200);
  EXPECT_THAT(post("publish", moved).body, HasSubstr(R"("duplicate":true)"));
  EXPECT_EQ(post("publish", R"({"topic":"telemetry","progress":{"source":"f.csv","member":"a",)"
                            R"("steps":[{"shard":4,"fence":1,"from":0,"to":9}]}})")
                .status,
            200);
  const auto refused =
      post("publish", R"({"topic":"telemetry","payload":"y","progress":{"source":"f.csv",)"
                      R"("member":"b","steps":[{"shard":3,"fence":1,"from":17,"to":18}]}})");
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(refused.body, HasSubstr("its lease is lost"));
  const auto given = post("shards", R"({"topic":"telemetry","source":"f.csv","member":"a",)"
                                    R"("give_back":[0,1],"leave":true})");
  EXPECT_THAT(given.body, HasSubstr(R"({"held":[],"surplus":0,"members":0)"));
}

TEST_F(QueueRoutesTest, SaysWhatIsWrongWithSharing) {
  const std::pair<std::string, std::string> wrong[] = {
      {R"({"topic":"t","source":"f"})", "member is missing"},
      {R"({"topic":"t","source":"f","member":"a","give_back":["1"]})", "numbers of shards"},
      {R"({"topic":"t","source":"f","member":"a","give_back":[64]})", "no shard 64"},
      {R"({"topic":"t","source":"f","member":"a","give_back":[-1]})", "numbers of shards"},
      {R"({"topic":"t","source":"f","member":"a","leave":"yes"})", "true or false"},
      {R"({"topic":"t","source":"f","member":"a","ttl":"1ms"})", "ttl"},
  };
  for (const auto& [body, detail] : wrong) {
    const auto answer = post("shards", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(answer.body, HasSubstr(detail));
  }
  const std::pair<std::string, std::string> steps[] = {
      {R"({"source":"f","member":"a"})", "steps of progress is missing"},
      {R"({"source":"f","member":"a","steps":[{"shard":1}]})", "fence, from, to of a step"},
      {R"({"source":"f","member":"a","steps":{}})", "a list of objects"},
      {R"({"source":"f","member":"a","steps":[{"shard":1.5}]})", "a whole number"},
      {R"([])", "an object"},
  };
  for (const auto& [progress, detail] : steps) {
    const auto answer =
        post("publish", R"({"topic":"t","payload":"x","progress":)" + progress + "}");
    EXPECT_EQ(answer.status, 400) << progress;
    EXPECT_THAT(answer.body, HasSubstr(detail));
  }
}

TEST_F(QueueRoutesTest, ShowsWhatIsInTheQueue) {
  publish("a");
  publish("bb");
  fetch();
  clock_.advance(250ms);
  const RawAnswer answer = get("stats");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(
      answer.body,
      R"({"topics":[{"topic":"telemetry","messages":2,"bytes":3,"published_total":2,)"
      R"("rejected_total":0,"deduplicated_total":0,"groups":[{"consumer_group":"g","ready":1,)"
      R"("in_flight":1,"delayed":0,"dead":0,"delivered_total":1,"redelivered_total":0,)"
      R"("acked_total":0,"nacked_total":0,"expired_total":0,"dead_total":0,)"
      R"("dead_dropped_total":0,"oldest_age_seconds":0.250,"consumers":1}],)"
      R"("sources":[]}]})");
}

// --- waiting

TEST_F(QueueRoutesTest, AWaitingFetchIsAnsweredByAPublish) {
  RawConnection waiting(port());
  waiting.send(request("GET", "fetch?topic=telemetry&consumer_group=g&wait=60s"));
  publish("a");
  EXPECT_THAT(waiting.answer().body, HasSubstr(R"("payload":"a")"));
}

TEST_F(QueueRoutesTest, AFetchWhoseClientLeftTakesNothing) {
  {
    RawConnection leaving(port());
    leaving.send(request("GET", "fetch?topic=telemetry&consumer_group=g&wait=60s"));
    leaving.finish_sending();
    EXPECT_THAT(leaving.answer().body, HasSubstr(R"("count":0)"));
  }
  publish("a");
  EXPECT_THAT(fetch().body, HasSubstr(R"("delivery_count":1)"));
}

TEST_F(QueueRoutesTest, AWaitingFetchIsAnsweredEmptyWhenTheServerDrains) {
  RawConnection waiting(port());
  waiting.send(request("GET", "fetch?topic=telemetry&consumer_group=g&wait=60s"));
  while (get("stats").body.find("consumers\":1") == std::string::npos) {
  }
  server_->stop(20s);
  EXPECT_THAT(waiting.answer().body, HasSubstr(R"("count":0)"));
}

// --- the binary body

TEST_F(QueueRoutesTest, SpeaksBinaryWithThoseWhoAskForIt) {
  const std::string type = "Content-Type: application/x-gpu-telemetry-queue\r\n";
  const std::string accept = "Accept: application/x-gpu-telemetry-queue\r\n";
  OutgoingMessage message;
  message.payload = std::make_shared<const std::string>("\0\xff", 2);
  message.headers = {{"k", "v"}};
  const RawAnswer published =
      ask(request("POST", "publish", binary::write_publish("telemetry", {message}), type + accept));
  EXPECT_EQ(published.status, 200);
  EXPECT_EQ(published.header("Content-Type"), "application/x-gpu-telemetry-queue");
  ASSERT_TRUE(binary::read_published(published.body));

  const RawAnswer fetched =
      ask(request("GET", "fetch?topic=telemetry&consumer_group=g", {}, accept));
  const auto deliveries = binary::read_deliveries(fetched.body);
  ASSERT_TRUE(deliveries);
  ASSERT_EQ(deliveries->size(), 1U);
  EXPECT_EQ(*(*deliveries)[0].payload, *message.payload);
  EXPECT_EQ((*deliveries)[0].headers, message.headers);

  SettleBody settle;
  settle.request.topic = "telemetry";
  settle.request.group = "g";
  settle.request.receipts_or_ids = {(*deliveries)[0].receipt, "nonsense"};
  const RawAnswer acked =
      ask(request("POST", "ack", binary::write_settle(Settlement::kAck, settle), type + accept));
  const auto results = binary::read_settled(acked.body);
  ASSERT_TRUE(results);
  EXPECT_THAT(*results, testing::ElementsAre(Settled::kDone, Settled::kUnknown));
}

TEST_F(QueueRoutesTest, RefusesBinaryBodiesThatAreDamagedOrOfAnotherVersion) {
  const std::string type = "Content-Type: application/x-gpu-telemetry-queue\r\n";
  EXPECT_EQ(ask(request("POST", "publish", std::string("GTQ\2\1", 5), type)).status, 415);
  EXPECT_EQ(ask(request("POST", "publish", std::string("GTQ\1\2", 5), type)).status, 400);
  EXPECT_EQ(ask(request("POST", "publish", "{}", type)).status, 400);
}

}  // namespace
}  // namespace gpu_telemetry::queue
