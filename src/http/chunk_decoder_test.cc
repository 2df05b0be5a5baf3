#include "http/chunk_decoder.h"

#include <gtest/gtest.h>

namespace gpu_telemetry::http {
namespace {

using State = ChunkDecoder::State;

State decode(std::string_view bytes, std::string& body, std::uint64_t limit = 1000) {
  ChunkDecoder decoder(limit);
  std::size_t consumed = 0;
  return decoder.decode(bytes, body, consumed);
}

TEST(ChunkDecoderTest, JoinsChunksHoweverTheyAreTornAndStopsAtTheEnd) {
  const std::string bytes =
      "3;ext=\"q\"\r\nabc\r\n0000A\r\n0123456789\r\n0\r\nT: x\r\nU: y\r\n\r\n";
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    ChunkDecoder decoder(13);
    std::string body;
    std::size_t first = 0;
    std::size_t second = 0;
    const State state = decoder.decode(std::string_view(bytes).substr(0, split), body, first);
    EXPECT_EQ(first, split);
    if (split < bytes.size()) {
      EXPECT_EQ(state, State::kNeedMore);
      const std::string rest = bytes.substr(split) + "GET / HTTP/1.1";
      EXPECT_EQ(decoder.decode(rest, body, second), State::kComplete);
      EXPECT_EQ(first + second, bytes.size());
    }
    EXPECT_EQ(body, "abc0123456789");
  }
}

TEST(ChunkDecoderTest, RefusesABodyPastItsLimitAtTheChunkThatSaysSo) {
  std::string body;
  EXPECT_EQ(decode("4\r\nabcd\r\n7\r\n", body, 10), State::kTooLarge);
  EXPECT_EQ(decode("ffffffffffffffff\r\n", body, 10), State::kTooLarge);
  EXPECT_EQ(decode("a\r\n", body, 10), State::kNeedMore);
}

TEST(ChunkDecoderTest, RefusesWhatIsNotAChunk) {
  for (const char* bytes : {"\r\n",
                            "g\r\n",
                            "-1\r\n",
                            "0x1\r\n",
                            " 1\r\n",
                            "1\n",
                            "1\r\rx",
                            "1\r\nab",
                            "1\r\na\n",
                            "0\r\n\n",
                            "0\r\n folded\r\n",
                            "1;\x01\r\n",
                            "0\r\nT: \x7F\r\n",
                            "1 2\r\na",
                            "1 a=b\r\n",
                            "1\tx\r\n",
                            "0\r\nGET / HTTP/1.1\r\n",
                            "0\r\nname\r\n",
                            "0\r\n: x\r\n",
                            "0\r\nT : x\r\n"}) {
    std::string body;
    EXPECT_EQ(decode(bytes, body), State::kMalformed) << bytes;
  }
}

TEST(ChunkDecoderTest, TakesSpaceAroundASize) {
  std::string body;
  EXPECT_EQ(decode("1 \t\r\na\r\n1 ;x=y\r\nb\r\n0 \r\n\r\n", body), State::kComplete);
  EXPECT_EQ(body, "ab");
}

TEST(ChunkDecoderTest, BoundsExtensionsAndTrailers) {
  std::string body;
  EXPECT_EQ(decode("1;" + std::string(300, 'x'), body), State::kMalformed);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 1000; ++i) trailers += "Name: value\r\n";
  EXPECT_EQ(decode(trailers, body), State::kMalformed);
}

}  // namespace
}  // namespace gpu_telemetry::http
