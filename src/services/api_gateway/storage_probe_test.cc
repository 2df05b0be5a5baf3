#include "services/api_gateway/storage_probe.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>

namespace gpu_telemetry::services {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

// Answers health when it is told to.
class SilentStore final : public storage::TelemetryRepository {
 public:
  Result<void> check_health() override {
    ++asked;
    return go_on.get_future().get();
  }
  Result<void> write(std::span<const storage::BatchToWrite>) override { return none(); }
  Result<std::unique_ptr<storage::SampleCursor>> query(const storage::SampleQuery&) override {
    return none();
  }
  Result<std::vector<storage::GpuBuckets>> aggregate(const storage::AggregateQuery&) override {
    return none();
  }
  Result<std::vector<storage::GroupSeries>> aggregate_groups(const storage::GroupQuery&) override {
    return none();
  }
  Result<storage::LatestTable> latest_values(const storage::LatestQuery&) override {
    return none();
  }
  Result<std::vector<Milliseconds>> scrape_intervals(std::span<const GpuUuid>) override {
    return none();
  }
  Result<std::vector<storage::LatestSample>> latest(const GpuUuid&) override { return none(); }
  Result<std::vector<storage::MetricPresence>> metrics_of(const GpuUuid&) override {
    return none();
  }
  Result<std::vector<std::string>> metric_names() override { return none(); }

  std::promise<Result<void>> go_on;
  std::atomic<int> asked{0};

 private:
  static Error none() { return unavailable("only health"); }
};

TEST(StorageProbeTest, DoesNotWaitForAStoreThatIsSilentAndAsksItOnce) {
  SilentStore store;
  asio::thread_pool pool(1);
  StorageProbe probe(store, pool, 30ms);
  asio::io_context context;
  auto work = asio::make_work_guard(context);
  std::thread thread([&] { context.run(); });
  for (int i = 0; i < 3; ++i) {
    const Result<void> answer = asio::co_spawn(context, probe.ask(), asio::use_future).get();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().message, "storage does not answer within 30ms");
  }
  EXPECT_EQ(store.asked, 1);
  store.go_on.set_value(Result<void>());
  pool.join();
  work.reset();
  thread.join();
}

TEST(StorageProbeTest, GivesOneAnswerToAllWhoWait) {
  SilentStore store;
  asio::thread_pool pool(1);
  StorageProbe probe(store, pool, 60s);
  asio::io_context context;
  auto first = asio::co_spawn(context, probe.ask(), asio::use_future);
  auto second = asio::co_spawn(context, probe.ask(), asio::use_future);
  context.poll();
  store.go_on.set_value(unavailable("the disk is gone"));
  context.restart();
  context.run();
  EXPECT_EQ(first.get().error().message, "the disk is gone");
  EXPECT_EQ(second.get().error().message, "the disk is gone");
  EXPECT_EQ(store.asked, 1);
  pool.join();
}

}  // namespace
}  // namespace gpu_telemetry::services
