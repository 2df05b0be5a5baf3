#include "services/streamer/streamer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "services/pipeline_test_support.h"
#include "services/streamer/message_publisher.h"
#include "services/streamer/tampered_queue.h"

namespace gpu_telemetry::services {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::numbered_batch;
using testing::RunningContext;

// Says `count` numbered scrapes and ends, or fails, or goes on for ever.
class NumberedSource final : public sources::Source {
 public:
  explicit NumberedSource(std::int64_t count, Result<void> end = {}) : count_(count), end_(end) {}

  Result<sources::SourceState> next(TelemetryBatch& batch, std::size_t,
                                    std::stop_token stop) override {
    if (stop.stop_requested()) return cancelled("stopped");
    batch.clear();
    if (said_ == count_) {
      if (!end_) return end_.error();
      return sources::SourceState::kEnd;
    }
    batch = numbered_batch(said_++);
    ++counters_.rows_accepted;
    return sources::SourceState::kBatch;
  }
  const sources::SourceCounters& counters() const override { return counters_; }

 private:
  const std::int64_t count_;
  const Result<void> end_;
  std::int64_t said_ = 0;
  sources::SourceCounters counters_;
};

class StreamerTest : public ::testing::Test {
 protected:
  void make_queue(queue::QueueOptions options = {}) {
    queue_ = queue::make_memory_queue(options, system_clock(), context_.executor());
  }
  void start(std::unique_ptr<sources::Source> source) { start(std::move(source), *queue_); }
  void start(std::unique_ptr<sources::Source> source, queue::MessageQueue& queue) {
    StreamerOptions options;
    options.interval = milliseconds{0};
    streamer_ = std::make_unique<Streamer>(options, std::move(source), queue, wire::batch_codec(),
                                           metrics_, context_.executor());
    streamer_->start([this](Result<void> ended) { ended_.set_value(std::move(ended)); });
  }
  std::vector<queue::Delivery> fetch(std::size_t max) {
    queue::FetchRequest request{"telemetry", "collectors", "test", max, seconds{30}};
    auto fetched = context_.await(queue_->fetch(std::move(request)));
    EXPECT_TRUE(fetched);
    return fetched ? std::move(*fetched) : std::vector<queue::Delivery>();
  }
  void acknowledge(const std::vector<queue::Delivery>& deliveries) {
    queue::SettleRequest request;
    request.topic = "telemetry";
    request.group = "collectors";
    for (const auto& each : deliveries) request.receipts_or_ids.push_back(each.receipt);
    EXPECT_TRUE(context_.await(queue_->ack(std::move(request))));
  }

  RunningContext context_;
  observability::Metrics metrics_;
  std::unique_ptr<queue::MessageQueue> queue_;
  std::promise<Result<void>> ended_;
  std::unique_ptr<Streamer> streamer_;
};

TEST_F(StreamerTest, PublishesEverythingThatTheSourceSaysAndThenSaysSo) {
  make_queue();
  start(std::make_unique<NumberedSource>(500));
  EXPECT_TRUE(ended_.get_future().get());
  EXPECT_EQ(streamer_->counts().messages_published, 500u);
  EXPECT_EQ(fetch(1000).size(), 500u);
}

TEST_F(StreamerTest, LosesNothingToAQueueThatIsFull) {
  queue::QueueOptions small;
  small.max_messages_per_topic = 10;
  make_queue(small);
  start(std::make_unique<NumberedSource>(300));
  std::set<Timestamp> seen;
  TelemetryBatch batch;
  while (seen.size() < 300) {
    const auto deliveries = fetch(10);
    for (const auto& each : deliveries) {
      ASSERT_TRUE(wire::batch_codec().decode(*each.payload, batch));
      EXPECT_TRUE(seen.insert(batch.scrapes[0].timestamp).second);
    }
    acknowledge(deliveries);
  }
  EXPECT_TRUE(ended_.get_future().get());
}

TEST(MessagePublisherTest, AsksAQueueThatStaysFullEverLessOftenAndOneThatIsFullForMomentsSoon) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  EXPECT_EQ(longest_pause(ErrorCode::kFull, milliseconds{0}), milliseconds{50});
  EXPECT_EQ(longest_pause(ErrorCode::kFull, milliseconds{800}), milliseconds{50});
  EXPECT_EQ(longest_pause(ErrorCode::kFull, seconds{8}), milliseconds{500});
  EXPECT_EQ(longest_pause(ErrorCode::kFull, std::chrono::hours{1}), seconds{1});
  EXPECT_EQ(longest_pause(ErrorCode::kUnavailable, milliseconds{0}), seconds{2});
}

TEST_F(StreamerTest, SaysWhyASourceCannotBeReadAnyFurther) {
  make_queue();
  start(std::make_unique<NumberedSource>(3, corrupt("line 4 is torn")));
  const auto ended = ended_.get_future().get();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(streamer_->counts().messages_published, 3u);
}

TEST_F(StreamerTest, StopsAtOnceInTheMiddleOfAnEndlessSource) {
  queue::QueueOptions small;
  small.max_messages_per_topic = 10;
  make_queue(small);
  start(std::make_unique<NumberedSource>(INT64_MAX));
  EXPECT_FALSE(fetch(1).empty());
  streamer_->stop(milliseconds{0});
  EXPECT_EQ(ended_.get_future().wait_for(seconds{0}), std::future_status::timeout);
}

TEST_F(StreamerTest, DoesNotWaitForAQueueThatNeverAnswersOnceItsGraceIsOver) {
  make_queue();
  testing::TamperedQueue silent(*queue_, context_.executor());
  silent.hold(true);
  start(std::make_unique<NumberedSource>(INT64_MAX), silent);
  while (silent.publishes() < StreamerOptions{}.publishes_in_flight) std::this_thread::yield();
  streamer_->stop(milliseconds{10});
  EXPECT_EQ(streamer_->counts().messages_published, 0U);
  streamer_.reset();
}

TEST_F(StreamerTest, EndsWhenTheQueueWillNeverAcceptAMessage) {
  queue::QueueOptions tiny;
  tiny.max_message_size = ByteSize{4};
  make_queue(tiny);
  start(std::make_unique<NumberedSource>(1));
  const auto ended = ended_.get_future().get();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace gpu_telemetry::services
