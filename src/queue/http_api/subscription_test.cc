// Subscribers as curl -N is one, settling through other connections.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

#include "queue/http_api/api_fixture.h"

namespace gpu_telemetry::queue {
namespace {

using namespace std::chrono_literals;
using http::RawConnection;
using testing::HasSubstr;
using testing::Not;

// One stream of events.
class Subscriber {
 public:
  Subscriber(std::uint16_t port, const std::string& request) : connection_(port) {
    connection_.send(request);
  }
  // Reads until the text has come; what came before it and the text itself.
  std::string until(const std::string& text) {
    std::size_t at = 0;
    while ((at = input_.find(text)) == std::string::npos) {
      const std::string more = connection_.receive_some();
      if (more.empty()) {
        ADD_FAILURE() << "the stream ended, or nothing came, before: " << text << "\n" << input_;
        return {};
      }
      input_ += more;
    }
    const std::string found = input_.substr(0, at + text.size());
    input_.erase(0, found.size());
    return found;
  }
  RawConnection& connection() { return connection_; }

 private:
  RawConnection connection_;
  std::string input_;
};

class SubscriptionTest : public QueueApiTest {
 protected:
  Subscriber subscribe(const std::string& more = {}) {
    return Subscriber(port(), request("GET", "subscribe?topic=telemetry&consumer_group=g" + more));
  }
  // Until the group has given everything back.
  void wait_until_ready(int count) {
    const std::string wanted = "\"ready\":" + std::to_string(count) + ",\"in_flight\":0";
    while (get("stats").body.find(wanted) == std::string::npos) {
    }
  }
};

TEST_F(SubscriptionTest, SaysConnectedThenSendsMessagesAsTheyCome) {
  Subscriber subscriber = subscribe("&consumer_id=me&prefetch=5");
  const std::string head = subscriber.until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("200 OK"));
  EXPECT_THAT(head, HasSubstr("text/event-stream"));
  EXPECT_THAT(subscriber.until("\n\n"), HasSubstr(R"(event: connected
data: {"topic":"telemetry","consumer_group":"g","consumer_id":"me","prefetch":5})"));
  const std::string id = publish("line\\nbreak");
  const std::string event = subscriber.until("\n\n");
  EXPECT_THAT(event, HasSubstr("event: message\nid: " + id + "\ndata: {\"message_id\":\"" + id));
  EXPECT_THAT(event, HasSubstr(R"("payload":"line\u000abreak")"));
}

TEST_F(SubscriptionTest, SendsNoMoreThanThePrefetchUntilOneIsSettled) {
  const std::string first = publish("a");
  publish("b");
  publish("c");
  Subscriber subscriber = subscribe("&prefetch=2");
  subscriber.until(R"("payload":"b")");
  EXPECT_THAT(get("stats").body, HasSubstr(R"("ready":1,"in_flight":2)"));
  EXPECT_THAT(settle("ack", R"("message_id":")" + first + '"').body, HasSubstr(R"("done":1)"));
  const std::string third = subscriber.until(R"("payload":"c")");
  EXPECT_THAT(third, Not(HasSubstr(R"("payload":"b")")));
}

TEST_F(SubscriptionTest, ANackMakesRoomToo) {
  publish("a");
  Subscriber subscriber = subscribe("&prefetch=1");
  const std::string event = subscriber.until("}\n\n") + subscriber.until("}\n\n");
  settle("nack", R"("receipt":")" + text_after(event, R"("receipt":")") + '"');
  EXPECT_THAT(subscriber.until("\"delivery_count\":2"), HasSubstr(R"("payload":"a")"));
}

TEST_F(SubscriptionTest, ASubscriberThatLeavesGivesItsMessagesBackAtOnce) {
  publish("a");
  publish("b");
  Subscriber leaving = subscribe("&prefetch=2");
  leaving.until(R"("payload":"b")");
  leaving.connection().reset();
  wait_until_ready(2);
  EXPECT_THAT(fetch().body, HasSubstr(R"("delivery_count":2)")) << "it counts as a retry";
}

TEST_F(SubscriptionTest, ASubscriberThatWaitsWithRoomLeavesTheSame) {
  publish("a");
  Subscriber leaving = subscribe("&prefetch=2");
  leaving.until(R"("payload":"a")");
  leaving.connection().reset();
  wait_until_ready(1);
}

TEST_F(SubscriptionTest, AServerThatDrainsReleasesAndEndsTheStreamWhole) {
  publish("a");
  Subscriber subscriber = subscribe();
  subscriber.until(R"("payload":"a")");
  server_->stop(20s);
  subscriber.until("\r\n0\r\n\r\n");
  server_.reset();
  boost::asio::io_context context;
  FetchRequest again;
  again.topic = "telemetry";
  again.group = "g";
  auto found = boost::asio::co_spawn(context, queue_->fetch(again), boost::asio::use_future);
  context.run();
  const auto deliveries = found.get();
  ASSERT_TRUE(deliveries);
  ASSERT_EQ(deliveries->size(), 1U);
  EXPECT_EQ((*deliveries)[0].delivery_count, 1U) << "a stop of ours is nobody's failure";
}

TEST_F(SubscriptionTest, AnIdleSubscriberGetsHeartbeats) {
  api_options_.heartbeat = 10ms;
  let_time_pass();
  Subscriber subscriber = subscribe();
  subscriber.until(": heartbeat\n\n");
  publish("a");
  Subscriber full = subscribe("&prefetch=1");
  full.until(": heartbeat\n\n");
}

TEST_F(SubscriptionTest, ALeaseThatRanOutMakesRoom) {
  api_options_.visibility_timeout = queue_options_.visibility_timeout = 50ms;
  let_time_pass();
  publish("a");
  publish("b");
  Subscriber subscriber = subscribe("&prefetch=1");
  subscriber.until(R"("payload":"a")");
  subscriber.until(R"("payload":"b")");
}

}  // namespace
}  // namespace gpu_telemetry::queue
