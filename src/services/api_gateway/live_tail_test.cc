#include "services/api_gateway/live_tail.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

namespace gpu_telemetry::services {
namespace {

TEST(TailReaderTest, ASlowReaderLosesEventsAndIsToldSinceWhen) {
  TailFilter filter;
  filter.metrics = {"m"};
  int rings = 0;
  TailReader reader(filter, [&rings] { ++rings; });
  const std::string half(TailReader::kMostWaiting / 2, 'x');
  const Timestamp start = from_unix_milliseconds(1'760'000'000'000);
  for (int i = 0; i < 4; ++i) reader.push(half, start + std::chrono::seconds{i});
  EXPECT_EQ(rings, 2);
  const std::string events = reader.take();
  EXPECT_EQ(events.substr(0, events.find('x')),
            "event: gap\ndata: {\"from\":\"2025-10-09T08:53:22Z\"}\n\n");
  EXPECT_EQ(std::count(events.begin(), events.end(), 'x'),
            static_cast<std::ptrdiff_t>(TailReader::kMostWaiting));
  EXPECT_EQ(reader.take(), "");
  reader.push("y", start);
  EXPECT_EQ(reader.take(), "y");
}

TEST(TailReaderTest, RingsForNobodyOnceItIsClosed) {
  auto rings = std::make_unique<std::atomic<int>>(0);
  TailReader reader(TailFilter(), [&rings] { ++*rings; });
  std::jthread tail([&reader](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      reader.push("x", Timestamp());
      reader.take();
    }
  });
  while (*rings == 0) std::this_thread::yield();
  reader.close();
  rings.reset();  // as the loop of a server that has ended
  tail.request_stop();
  tail.join();
  reader.push("y", Timestamp());
  EXPECT_EQ(reader.take(), "");
}

TEST(TailFilterTest, MatchesGpusByUuidAndAttributes) {
  Gpu gpu;
  gpu.uuid = GpuUuid(GpuUuid::Kind::kGpu, {7});
  gpu.hostname = "node-1";
  TailFilter filter;
  EXPECT_TRUE(filter.matches(gpu));
  filter.gpus = {gpu.uuid};
  filter.filter.hostname = {"node-1", "node-2"};
  EXPECT_TRUE(filter.matches(gpu));
  filter.filter.pod = {"train"};
  EXPECT_FALSE(filter.matches(gpu));
  filter.filter.pod.clear();
  filter.gpus = {GpuUuid(GpuUuid::Kind::kGpu, {8})};
  EXPECT_FALSE(filter.matches(gpu));
}

}  // namespace
}  // namespace gpu_telemetry::services
