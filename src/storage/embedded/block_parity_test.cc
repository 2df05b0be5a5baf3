#include "storage/embedded/block_parity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace gpu_telemetry::storage::embedded {
namespace {

std::string some_bytes(std::size_t size) {
  std::minstd_rand random(static_cast<unsigned>(size) + 1);
  std::string bytes(size, '\0');
  for (char& each : bytes) each = static_cast<char>(random());
  return bytes;
}

constexpr std::size_t kSizes[] = {0, 1, 63, 64, 65, 128, 1000, 4096, 10'000, 300'000};

TEST(BlockParity, RestoresAnyFlippedBit) {
  for (const std::size_t size : kSizes) {
    const std::string bytes = some_bytes(size);
    const std::string parity = encode_parity(bytes);
    EXPECT_EQ(parity.size(), parity_size(size));
    EXPECT_EQ(restore(bytes, parity), bytes);
    for (std::size_t i = 0; i < size; i += 1 + size / 500) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 1 << i % 8);
      ASSERT_EQ(restore(damaged, parity), bytes) << i << " of " << size;
    }
  }
}

TEST(BlockParity, RestoresALostSectorOfALargeIndex) {
  const std::string bytes = some_bytes(300'000);
  const std::string parity = encode_parity(bytes);
  for (std::size_t i = 0; i < bytes.size(); i += 999) {
    std::string damaged = bytes;
    const std::size_t size = std::min<std::size_t>(4096, bytes.size() - i);
    damaged.replace(i, size, size, '\0');
    ASSERT_EQ(restore(damaged, parity), bytes) << i;
  }
}

TEST(BlockParity, SaysWhenTooMuchIsDamaged) {
  const std::string bytes = some_bytes(100'000);
  const std::string parity = encode_parity(bytes);
  std::string damaged = bytes;
  for (const std::size_t at : {100U, 20'000U, 50'000U}) damaged[at] ^= 1;
  EXPECT_EQ(restore(damaged, parity), std::nullopt);
  for (std::size_t i = 0; i < parity.size(); ++i) {
    std::string other = parity;
    other[i] ^= 1;
    EXPECT_FALSE(parity_holds(other)) << i;
    damaged = bytes;
    damaged[7] ^= 1;
    EXPECT_EQ(restore(damaged, other), std::nullopt) << i;
  }
}

TEST(BlockParity, TakesAHundredthOfALargeIndex) {
  EXPECT_LE(parity_size(1 << 20), (1 << 20) / 100);
  EXPECT_LE(parity_size(1 << 14), (1 << 14) / 20);
}

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
