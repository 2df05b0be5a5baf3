#include <gtest/gtest.h>

#include "services/assembly/assembly.h"

namespace gpu_telemetry::services {
namespace {

config::Settings fitted(const std::vector<std::string>& arguments) {
  bool wrong_usage = false;
  auto line = config::parse_settings(
      config::Command::kQueueService, arguments, [](std::string_view) { return std::nullopt; },
      wrong_usage);
  EXPECT_TRUE(line) << line.error();
  return fit_to_memory(line->settings);
}

TEST(FitToMemoryTest, MessagesGetAnEighthWhereTheirRoomIsNotGiven) {
  EXPECT_EQ(fitted({"--memory-limit=256MiB"}).buffer_bytes, 32_MiB);
  EXPECT_EQ(fitted({"--memory-limit=64GiB"}).buffer_bytes, 128_MiB);
}

TEST(FitToMemoryTest, WhatIsGivenIsKept) {
  EXPECT_EQ(fitted({"--memory-limit=256MiB", "--buffer-bytes=200MiB"}).buffer_bytes, 200_MiB);
}

TEST(FitToMemoryTest, MessagesInRedisTakeNoMemoryHere) {
  EXPECT_EQ(fitted({"--memory-limit=256MiB", "--queue-engine=redis"}).buffer_bytes, 128_MiB);
}

TEST(FitToMemoryTest, TheLimitIsFoundWhereItIsNotGiven) {
  EXPECT_GT(fitted({}).memory_limit, 16_MiB);
}

}  // namespace
}  // namespace gpu_telemetry::services
