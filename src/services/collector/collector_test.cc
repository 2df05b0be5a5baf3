#include "services/collector/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>

#include "services/pipeline_test_support.h"

namespace gpu_telemetry::services {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::collectors_group;
using testing::MapStorage;
using testing::numbered_batch;
using testing::RunningContext;

class CollectorTest : public ::testing::Test {
 protected:
  CollectorTest() {
    use_queue([](queue::QueueOptions&) {});
  }
  ~CollectorTest() override {
    if (collector_) {
      EXPECT_TRUE(collector_->stop(seconds{30}));
    }
    queue_->shut_down();
  }

  // Another queue, with options that `change` has changed.
  template <class Change>
  void use_queue(Change change) {
    if (queue_) queue_->shut_down();
    queue::QueueOptions options;
    change(options);
    queue_ = queue::make_memory_queue(options, system_clock(), context_.executor());
  }

  void start(CollectorOptions options = {}) {
    collector_ =
        std::make_unique<Collector>(options, *queue_, storage_, storage_, wire::batch_codec(),
                                    system_clock(), metrics_, context_.executor());
    collector_->start();
  }

  void publish_bytes(std::string bytes) {
    std::vector<queue::OutgoingMessage> messages(1);
    messages[0].payload = std::make_shared<const std::string>(std::move(bytes));
    const auto published = context_.await(queue_->publish("telemetry", std::move(messages)));
    ASSERT_TRUE(published) << published.error();
  }
  void publish(std::int64_t number) {
    std::string bytes;
    wire::batch_codec().encode(numbered_batch(number), bytes);
    publish_bytes(std::move(bytes));
  }

  queue::GroupStatistics group() { return collectors_group(*context_.await(queue_->statistics())); }
  // Returns once the group's numbers are as wanted; the test's own time-out ends it otherwise.
  template <class Wanted>
  queue::GroupStatistics wait_for_group(Wanted wanted) {
    while (true) {
      const queue::GroupStatistics now = group();
      if (wanted(now)) return now;
      std::this_thread::yield();
    }
  }

  RunningContext context_;
  observability::Metrics metrics_;
  MapStorage storage_;
  std::unique_ptr<queue::MessageQueue> queue_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(CollectorTest, StoresEverythingAndThenAcknowledgesIt) {
  start();
  for (int i = 0; i < 100; ++i) publish(i);
  storage_.wait_for_samples(100);
  wait_for_group([](const auto& now) { return now.acked_total == 100; });
  EXPECT_EQ(group().in_flight, 0u);
  EXPECT_EQ(storage_.gpus().size(), 1u);
}

TEST_F(CollectorTest, AcknowledgesNothingBeforeStorageHasConfirmed) {
  storage_.hold(true);
  start();
  publish(1);
  storage_.wait_for_writes(1);
  EXPECT_EQ(group().in_flight, 1u);
  EXPECT_EQ(group().acked_total, 0u);
  storage_.hold(false);
  wait_for_group([](const auto& now) { return now.acked_total == 1; });
}

TEST_F(CollectorTest, PutsSeveralMessagesIntoOneWrite) {
  CollectorOptions options;
  options.batch_messages = 50;
  for (int i = 0; i < 100; ++i) publish(i);
  start(options);
  storage_.wait_for_samples(100);
  wait_for_group([](const auto& now) { return now.acked_total == 100; });
  EXPECT_EQ(storage_.samples().size(), 100u);
}

TEST_F(CollectorTest, BuriesWhatCannotBeDecodedWithTheReasonAndStoresTheRest) {
  start();
  publish(1);
  publish_bytes("not a batch");
  publish(2);
  storage_.wait_for_samples(2);
  wait_for_group([](const auto& now) { return now.dead == 1 && now.acked_total == 2; });
  const auto dead = context_.await(queue_->dead_letters("telemetry", "collectors", 10));
  ASSERT_TRUE(dead) << dead.error();
  ASSERT_EQ(dead->size(), 1u);
  EXPECT_EQ(*dead->front().payload, "not a batch");
  EXPECT_FALSE(dead->front().reason.empty());
}

TEST_F(CollectorTest, KeepsMessagesInTheQueueWhileStorageIsAwayAndCountsNoRetry) {
  storage_.refuse(unavailable("storage is away"));
  CollectorOptions options;
  options.first_pause = milliseconds{1};
  start(options);
  for (int i = 0; i < 20; ++i) publish(i);
  // More deliveries than messages: some were handed back and came again.
  wait_for_group([](const auto& now) { return now.delivered_total >= 13; });
  storage_.refuse(std::nullopt);
  storage_.wait_for_samples(20);
  wait_for_group([](const auto& now) { return now.acked_total == 20; });
  EXPECT_EQ(group().dead, 0u);
}

TEST_F(CollectorTest, BuriesOneMessageThatStorageRefusesAndStoresItsNeighbours) {
  storage_.refuse_scrapes_at(kEarliestTimestamp + milliseconds{3});
  CollectorOptions options;
  options.batch_messages = 50;
  for (int i = 0; i < 10; ++i) publish(i);
  start(options);
  wait_for_group([](const auto& now) { return now.dead + now.acked_total == 10; });
  EXPECT_EQ(storage_.samples().size(), 9u);
  const auto dead = context_.await(queue_->dead_letters("telemetry", "collectors", 10));
  ASSERT_TRUE(dead) << dead.error();
  ASSERT_EQ(dead->size(), 1u);
  EXPECT_EQ(dead->front().reason, "a scrape that cannot be stored");
}

TEST_F(CollectorTest, StoresWhatMayBeStoredOfAMessageThatPassesALimitAndKeepsAllOfItForLater) {
  CollectorOptions options;
  options.limits.max_gpus = 1;
  start(options);
  publish(1);
  storage_.wait_for_samples(1);
  TelemetryBatch batch = numbered_batch(2);
  auto another = std::make_shared<Gpu>();
  another->uuid = GpuUuid(GpuUuid::Kind::kGpu, {2});
  batch.gpus.push_back(another);
  batch.samples.push_back({0, 5});
  batch.scrapes.push_back({1, 1, 1, kEarliestTimestamp + milliseconds{2}});
  std::string bytes;
  wire::batch_codec().encode(batch, bytes);
  publish_bytes(bytes);
  wait_for_group([](const auto& now) { return now.dead == 1; });
  EXPECT_EQ(storage_.samples().size(), 2u) << "the known GPU's";
  const auto dead = context_.await(queue_->dead_letters("telemetry", "collectors", 10));
  ASSERT_TRUE(dead) << dead.error();
  EXPECT_EQ(*dead->front().payload, bytes);
  EXPECT_THAT(dead->front().reason,
              AllOf(::testing::HasSubstr(another->uuid.to_string()),
                    ::testing::HasSubstr("MAX_GPUS=1"), ::testing::HasSubstr("1 samples")));
  EXPECT_EQ(metrics_
                .counter("gpu_telemetry_samples_refused_total",
                         "Samples that MAX_GPUS or MAX_METRICS kept out of storage")
                .Value(),
            1);

  EXPECT_TRUE(collector_->stop(seconds{30}));
  options.limits.max_gpus = 2;
  start(options);
  ASSERT_TRUE(context_.await(queue_->redrive("telemetry", "collectors", {})));
  wait_for_group([](const auto& now) { return now.acked_total == 2; });
  EXPECT_EQ(storage_.samples().size(), 3u);
}

TEST_F(CollectorTest, HandsAPartlyRefusedMessageBackWhileStorageIsAway) {
  CollectorOptions options;
  options.limits.max_metrics = 0;
  options.first_pause = milliseconds{1};
  storage_.refuse(unavailable("storage is away"));
  start(options);
  publish(1);
  wait_for_group([](const auto& now) { return now.delivered_total >= 3 || now.dead > 0; });
  EXPECT_EQ(group().dead, 0u);
  storage_.refuse(std::nullopt);
  wait_for_group([](const auto& now) { return now.dead == 1; });
}

TEST_F(CollectorTest, KeepsMessagesInTheQueueWhileStorageIsDamaged) {
  storage_.refuse(corrupt("the catalogue is damaged"));
  use_queue([](queue::QueueOptions& options) { options.max_retries = 0; });
  CollectorOptions options;
  options.first_pause = milliseconds{1};
  start(options);
  publish(1);
  wait_for_group([](const auto& now) { return now.delivered_total >= 3 || now.dead > 0; });
  storage_.refuse(std::nullopt);
  wait_for_group([](const auto& now) { return now.acked_total + now.dead == 1; });
  EXPECT_EQ(group().dead, 0u);
}

TEST_F(CollectorTest, FetchesNoMoreThanAQueueGivesHoweverManyWritesMayRun) {
  CollectorOptions options;
  options.max_concurrent_writes = 2;
  options.batch_messages = queue::kMaxBatch;
  start(options);
  publish(1);
  storage_.wait_for_samples(1);
}

TEST_F(CollectorTest, StopsAfterTheWritesInFlightAreAcknowledged) {
  storage_.hold(true);
  start();
  publish(1);
  storage_.wait_for_writes(1);
  std::thread release([this] { storage_.hold(false); });
  EXPECT_TRUE(collector_->stop(seconds{30}));
  release.join();
  EXPECT_EQ(group().acked_total, 1u);
  EXPECT_EQ(storage_.samples().size(), 1u);
}

TEST_F(CollectorTest, MayGoAfterItsTimeToStopRanOutInTheMiddleOfAWrite) {
  RunningContext context;
  Collector collector({}, *queue_, storage_, storage_, wire::batch_codec(), system_clock(),
                      metrics_, context.executor());
  storage_.hold(true);
  publish(1);
  collector.start();
  storage_.wait_for_writes(1);
  EXPECT_FALSE(collector.stop(milliseconds{0}));
  EXPECT_EQ(group().acked_total, 0u);
  queue_->shut_down();  // which lets go of the fetch that waits in it
  context.stop();
  storage_.hold(false);
}

TEST_F(CollectorTest, StopsAtOnceWhenTheQueueIsEmpty) {
  start();
  EXPECT_TRUE(collector_->stop(seconds{30}));
}

TEST_F(CollectorTest, WritesTheLastSightingOfAGpuThatHasFallenSilent) {
  CollectorOptions options;
  options.gpu_refresh = milliseconds{50};
  start(options);
  publish(1);
  publish(9);
  const Timestamp last = kEarliestTimestamp + milliseconds{9};
  while (storage_.gpus().empty() || storage_.gpus().begin()->second != last) {
    std::this_thread::yield();
  }
}

TEST_F(CollectorTest, WritesTheLastSightingOfAGpuWhenItStops) {
  start();
  publish(1);
  wait_for_group([](const auto& now) { return now.acked_total == 1; });
  publish(9);
  wait_for_group([](const auto& now) { return now.acked_total == 2; });
  EXPECT_TRUE(collector_->stop(seconds{30}));
  EXPECT_EQ(storage_.gpus().begin()->second, kEarliestTimestamp + milliseconds{9});
}

TEST_F(CollectorTest, ExtendsTheLeasesOfASlowWrite) {
  constexpr milliseconds kShort{900};
  use_queue([&](queue::QueueOptions& options) { options.visibility_timeout = kShort; });
  storage_.hold(true);
  CollectorOptions options;
  options.visibility_timeout = kShort;
  const auto began = std::chrono::steady_clock::now();
  start(options);
  publish(1);
  storage_.wait_for_writes(1);
  while (std::chrono::steady_clock::now() - began < 2 * kShort) {
    EXPECT_EQ(group().expired_total, 0u);
  }
  storage_.hold(false);
  wait_for_group([](const auto& now) { return now.acked_total == 1; });
  EXPECT_EQ(group().redelivered_total, 0u);
}

}  // namespace
}  // namespace gpu_telemetry::services
