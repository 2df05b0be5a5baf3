#include "services/api_gateway/pipeline_contract.h"

namespace gpu_telemetry::services {
namespace {

TEST_P(ApiContract, APipelineWithoutAQueueSaysSo) {
  const auto pipeline = get("/api/v1/pipeline");
  EXPECT_EQ(text(pipeline.at("queue")), R"({"configured":false,"reachable":false,"topics":[]})");
  EXPECT_TRUE(pipeline.at("depth").is_null());
  EXPECT_TRUE(pipeline.at("collectors").is_null());
  EXPECT_NE(problem("/api/v1/pipeline/dead-letters", 409).find("QUEUE_SERVICE_URL"),
            std::string::npos);
}

TEST_P(PipelineContract, ShowsWhatIsUnderWayAndHowFast) {
  const auto first = get("/api/v1/pipeline");
  EXPECT_TRUE(first.at("queue").at("reachable").as_bool());
  EXPECT_EQ(first.at("queue").at("topics").at(0).at("topic").as_string(), "telemetry");
  EXPECT_EQ(first.at("depth").as_int64(), 2);
  EXPECT_EQ(first.at("in_flight").as_int64(), 1);
  EXPECT_EQ(first.at("dead").as_int64(), 1);
  EXPECT_EQ(first.at("collectors").as_int64(), 1);
  EXPECT_TRUE(first.at("rates").at("published_per_second").is_null());
  std::vector<queue::OutgoingMessage> more(4);
  for (auto& message : more) message.payload = std::make_shared<std::string>("more");
  ASSERT_TRUE(loop_.await(queue_->publish("telemetry", more)));
  stored_ = 300;
  clock_.advance(std::chrono::seconds{2});
  const auto second = get("/api/v1/pipeline");
  EXPECT_EQ(number(second.at("rates").at("published_per_second")), 2);
  EXPECT_EQ(number(second.at("rates").at("acked_per_second")), 0);
  EXPECT_EQ(number(second.at("rates").at("samples_stored_per_second")), 100);
  EXPECT_EQ(number(second.at("oldest_age_seconds")), 2);
}

TEST_P(PipelineContract, DeadLettersAreListedRedrivenAndPurged) {
  const auto letters = get("/api/v1/pipeline/dead-letters?max=10");
  EXPECT_EQ(letters.at("count").as_int64(), 1);
  EXPECT_EQ(letters.at("messages").at(0).at("reason").as_string(), "not ours");
  EXPECT_EQ(letters.at("messages").at(0).at("payload").as_string(), "a payload");
  const std::string body = R"({"topic":"telemetry","consumer_group":"collectors"})";
  const std::string dead_letters = "/api/v1/pipeline/dead-letters";
  const auto redriven = ask(dead_letters + "/redrive", {}, "POST", body);
  EXPECT_EQ(redriven.status, 200) << redriven.body;
  EXPECT_EQ(json_lib::parse(redriven.body).at("count").as_int64(), 1);
  EXPECT_EQ(get(dead_letters).at("count").as_int64(), 0);
  const auto purged = ask(dead_letters + "/purge", {}, "POST", body);
  EXPECT_EQ(json_lib::parse(purged.body).at("count").as_int64(), 0);
  EXPECT_EQ(ask(dead_letters + "/purge", {}, "POST", "{}").status, 400);
  http::RawConnection connection(gateway_->port());
  ASSERT_TRUE(connection.send("POST " + dead_letters +
                              "/purge HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\n"
                              "Content-Length: 2\r\n\r\n{}"));
  EXPECT_EQ(connection.answer().status, 415);
  problem(dead_letters + "?max=0", 400);
  problem(dead_letters + "?topic=a%20b", 400);
}

TEST_P(PipelineContract, AQueueThatDoesNotAnswerIsShownAsSuch) {
  queue_->shut_down();
  const auto pipeline = get("/api/v1/pipeline");
  EXPECT_TRUE(pipeline.at("queue").at("configured").as_bool());
  EXPECT_FALSE(pipeline.at("queue").at("reachable").as_bool());
  EXPECT_FALSE(pipeline.at("queue").at("error").as_string().empty());
  EXPECT_TRUE(pipeline.at("dead").is_null());
}

TEST_P(ApiContract, WithoutTokensNothingIsChangedThroughAPortThatOthersReach) {
  ApiGatewayOptions options;
  options.server.host = "0.0.0.0";
  start(std::move(options));
  const auto refused = ask("/api/v1/pipeline/dead-letters/purge", {}, "POST",
                           R"({"topic":"t","consumer_group":"g"})");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("API_TOKENS_FILE"), std::string::npos);
}

// Reads a stream of events until it has `text`; what came so far when it ends.
std::string read_until(http::RawConnection& connection, const std::string& text) {
  std::string all;
  while (all.find(text) == std::string::npos) {
    const std::string more = connection.receive_some();
    if (more.empty()) break;
    all += more;
  }
  return all;
}

TEST_P(StreamContract, NewSamplesComeAsEvents) {
  http::RawConnection connection(gateway_->port());
  ASSERT_TRUE(connection.send(request("metric_name=DCGM_FI_DEV_GPU_TEMP&uuid=" + uuid(2))));
  // What was newest when the stream began comes first.
  std::string events = read_until(connection, "DCGM_FI_DEV_GPU_TEMP\":60}}\n\n");
  EXPECT_NE(events.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_NE(events.find("event: sample\nid: " + std::to_string(unix_milliseconds(now()))),
            std::string::npos)
      << events;
  EXPECT_EQ(events.find(uuid(1)), std::string::npos);
  const Timestamp time = now() + std::chrono::seconds{1};
  write(storage::BatchBuilder()
            .scrape(storage::numbered_gpu(2), time, {{"DCGM_FI_DEV_GPU_TEMP", 61.5}, {"other", 1}})
            .batch());
  events = read_until(connection, "61.5}}\n\n");
  EXPECT_NE(
      events.find("data: {\"gpu_uuid\":\"" + uuid(2) + "\",\"timestamp\":\"" +
                  format_rfc3339(time) + "\",\"values\":{\"DCGM_FI_DEV_GPU_TEMP\":61.5}}\n\n"),
      std::string::npos)
      << events;
}

TEST_P(StreamContract, AStreamGoesOnBehindTheLastEventThatWasRead) {
  const std::string last = std::to_string(unix_milliseconds(scrape_time(kScrapes - 3)));
  http::RawConnection connection(gateway_->port());
  ASSERT_TRUE(connection.send(request("metric_name=DCGM_FI_DEV_GPU_UTIL&uuid=" + uuid(1),
                                      "Last-Event-ID: " + last + "\r\n")));
  const std::string events = read_until(connection, "\":59}}\n\n");
  EXPECT_EQ(events.find("\":57}}"), std::string::npos) << events;
  EXPECT_NE(events.find("\":58}}"), std::string::npos) << events;
  EXPECT_EQ(events.find("event: gap"), std::string::npos) << events;
  http::RawConnection early(gateway_->port());
  ASSERT_TRUE(early.send(request("since=" + format_rfc3339(scrape_time(0)) +
                                 "&metric_name=DCGM_FI_DEV_GPU_UTIL&uuid=" + uuid(1))));
  EXPECT_NE(read_until(early, "\":59}}\n\n")
                .find("event: gap\ndata: {\"from\":\"" + format_rfc3339(scrape_time(0))),
            std::string::npos);
}

TEST_P(StreamContract, AStreamEndsWhenTheServerStops) {
  http::RawConnection connection(gateway_->port());
  ASSERT_TRUE(connection.send(request("uuid=" + uuid(1))));
  read_until(connection, ": connected");
  gateway_->stop(std::chrono::seconds{10});
  EXPECT_TRUE(read_until(connection, "0\r\n\r\n").ends_with("0\r\n\r\n"));
}

TEST_P(StreamContract, AQuestionThatIsWrongIsRefused) {
  problem("/api/v1/stream?uuid=nonsense", 400);
  problem("/api/v1/stream?since=yesterday", 400);
  problem("/api/v1/stream?metric=a", 400);
}

}  // namespace
}  // namespace gpu_telemetry::services
