#include "services/json/text_room.h"

#include <gtest/gtest.h>

namespace gpu_telemetry::services {
namespace {

TEST(TextRoom, KeepsPiecesOfEveryLengthWholeAndInOrder) {
  for (const std::size_t longest : {1U, 16U, 100U, 8191U, 8192U, 20'000U}) {
    std::string expected = "before ";
    std::string out = expected;
    TextRoom room(out, longest);
    for (std::size_t i = 0; i < 300; ++i) {
      const std::string piece(i * 37 % (longest + 1), static_cast<char>('a' + i % 26));
      expected += piece;
      room.end(std::copy(piece.begin(), piece.end(), room.next()));
    }
    room.finish();
    EXPECT_EQ(out, expected) << longest;
  }
}

}  // namespace
}  // namespace gpu_telemetry::services
