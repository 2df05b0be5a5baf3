#include "io/crc32c.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "io/crc32c_internal.h"

namespace gpu_telemetry::io {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32c, HasTheChecksumsOfRfc3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending.push_back(c);
  EXPECT_EQ(crc32c(ascending), 0x46DD794EU);
  EXPECT_EQ(crc32c(std::string(ascending.rbegin(), ascending.rend())), 0x113FDB5CU);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(Crc32c, TheInstructionAndTheTablesAgreeAtEveryLengthAndAlignment) {
  if (!internal::has_crc32c_instruction())
    GTEST_SKIP() << "this processor has no CRC32C instruction";
  std::mt19937 random(7);
  std::string bytes(8192, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  for (std::size_t size = 0; size < 4700; size += size < 100 ? 1 : 37) {
    for (std::size_t start = 0; start < 9; ++start) {
      ASSERT_EQ(internal::crc32c_by_tables(0x12345678, bytes.data() + start, size),
                internal::crc32c_by_instruction(0x12345678, bytes.data() + start, size))
          << "size " << size << " start " << start;
    }
  }
}

TEST(Crc32c, GoesOnFromASeed) {
  const std::string text = "the whole is the checksum of its parts, one after the other";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view whole = text;
    EXPECT_EQ(crc32c(whole.substr(cut), crc32c(whole.substr(0, cut))), crc32c(whole));
  }
}

}  // namespace
}  // namespace gpu_telemetry::io
