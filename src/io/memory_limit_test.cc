#include "io/memory_limit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gpu_telemetry::io {
namespace {

class MemoryLimitTest : public testing::Test {
 protected:
  MemoryLimitTest() : root_(testing::TempDir() + "memory_limit_test") {
    std::filesystem::remove_all(root_);
    write("/proc/meminfo", "MemTotal:        8000000 kB\nMemFree:          100 kB\n");
  }
  ~MemoryLimitTest() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path, std::ios::trunc) << text;
  }

  std::string root_;
};

TEST_F(MemoryLimitTest, WithoutAGroupIsTheMachines) {
  EXPECT_EQ(memory_limit(root_), ByteSize{8'000'000ULL << 10});
}

TEST_F(MemoryLimitTest, IsThatOfTheGroup) {
  write("/proc/self/cgroup", "0::/pods/one\n");
  write("/sys/fs/cgroup/pods/one/memory.max", "536870912\n");
  EXPECT_EQ(memory_limit(root_), 512_MiB);
}

TEST_F(MemoryLimitTest, IsThatOfAGroupAboveWhenItIsLess) {
  write("/proc/self/cgroup", "0::/pods/one\n");
  write("/sys/fs/cgroup/pods/one/memory.max", "536870912\n");
  write("/sys/fs/cgroup/pods/memory.max", "268435456\n");
  EXPECT_EQ(memory_limit(root_), 256_MiB);
}

TEST_F(MemoryLimitTest, OfAContainerThatSeesOnlyItsOwnRootIsThere) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/memory.max", "268435456\n");
  EXPECT_EQ(memory_limit(root_), 256_MiB);
}

TEST_F(MemoryLimitTest, AGroupWithoutALimitLeavesTheMachines) {
  write("/proc/self/cgroup", "0::/pods\n");
  write("/sys/fs/cgroup/pods/memory.max", "max\n");
  EXPECT_EQ(memory_limit(root_), ByteSize{8'000'000ULL << 10});
}

TEST_F(MemoryLimitTest, VersionOneHasAHierarchyOfItsOwn) {
  write("/proc/self/cgroup", "12:cpu,cpuacct:/x\n7:hugetlb,memory:/docker/abc\n0::/\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "134217728\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(memory_limit(root_), 128_MiB);
}

TEST_F(MemoryLimitTest, VersionOneInAContainerThatNamesTheHostsPath) {
  write("/proc/self/cgroup", "7:memory:/docker/abc\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
  EXPECT_EQ(memory_limit(root_), 128_MiB);
}

TEST_F(MemoryLimitTest, WhatCannotBeReadSaysNothing) {
  write("/proc/meminfo", "garbage");
  write("/proc/self/cgroup", "no colons\n0:\n::relative\n");
  EXPECT_EQ(memory_limit(root_), ByteSize{0});
}

TEST_F(MemoryLimitTest, OfThisMachineIsKnown) { EXPECT_GT(memory_limit(), 16_MiB); }

}  // namespace
}  // namespace gpu_telemetry::io
