// The parts that need no Redis: RESP, addresses, receipts, headers.
#include "queue/redis/redis_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/redis/redis_messages.h"
#include "queue/redis/redis_queue.h"

namespace gpu_telemetry::queue {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RedisReplyTest, WritesCommandsAsArraysOfBulkStrings) {
  RedisCommand command(3);
  command.add("SET").add(std::string_view("a\r\nb", 4)).add(std::int64_t{-12});
  EXPECT_EQ(command.take(), "*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$3\r\n-12\r\n");
}

TEST(RedisReplyTest, ReadsRepliesHoweverTheyAreCut) {
  const std::string bytes = "*5\r\n$5\r\nhello\r\n:-7\r\n$-1\r\n*1\r\n+OK\r\n$0\r\n\r\n-ERR no\r\n";
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    RedisReplyReader reader;
    std::vector<RedisReply> replies;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      reader.feed(std::string_view(bytes).substr(at, step));
      for (;;) {
        auto reply = reader.next();
        ASSERT_TRUE(reply) << reply.error();
        if (!*reply) break;
        replies.push_back(std::move(**reply));
      }
    }
    ASSERT_EQ(replies.size(), 2U) << step;
    const auto& parts = replies[0].elements;
    ASSERT_EQ(parts.size(), 5U);
    EXPECT_EQ(parts[0].text, "hello");
    EXPECT_EQ(parts[1].integer, -7);
    EXPECT_EQ(parts[2].type, RedisReply::Type::kNil);
    EXPECT_EQ(parts[3].elements.at(0).text, "OK");
    EXPECT_EQ(parts[4].text, "");
    EXPECT_TRUE(replies[1].is_error());
    EXPECT_EQ(replies[1].text, "ERR no");
  }
}

TEST(RedisReplyTest, RefusesWhatIsNoReply) {
  for (const char* bytes : {"HTTP/1.1 400\r\n", "*2000000\r\n",
                            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"}) {
    RedisReplyReader reader;
    reader.feed(bytes);
    const auto reply = reader.next();
    ASSERT_FALSE(reply) << bytes;
    EXPECT_EQ(reply.error().code, ErrorCode::kCorrupt);
  }
}

TEST(RedisMessagesTest, ReadsBackTheReceiptsItWrites) {
  const std::string id = "1760000000000-1000007";
  const std::string receipt = format_redis_receipt(id, 42);
  const auto parsed = parse_redis_receipt(receipt);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->id, id);
  EXPECT_EQ(parsed->stamp, "42");
  EXPECT_EQ(parse_redis_receipt(id)->stamp, "");
  EXPECT_EQ(unix_milliseconds(published_at(id)), 1'760'000'000'000);
  for (const std::string& bad :
       {std::string(), id + "-", id + "-x", id + "1", id.substr(1), id + "-1234567890123456",
        std::string("1760000000000 1000007"), id + "--1"}) {
    EXPECT_FALSE(parse_redis_receipt(bad)) << bad;
  }
}

TEST(RedisMessagesTest, ReadsBackTheHeadersItWrites) {
  const Headers headers = {{"encoding", "zstd"}, {"", std::string("\0:", 2)}};
  EXPECT_EQ(*decode_headers(encode_headers(headers)), headers);
  EXPECT_EQ(encode_headers(headers).substr(0, 3), "14:");
  EXPECT_EQ(encode_headers({}), "");
  const std::string whole = encode_headers(headers);
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_headers(whole.substr(0, size))) << size;
  }
  EXPECT_FALSE(decode_headers(whole + "x"));
}

TEST(RedisServerTest, ReadsAddresses) {
  EXPECT_EQ(parse_redis_server("redis")->host, "redis");
  EXPECT_EQ(parse_redis_server("redis")->port, 6379);
  EXPECT_EQ(parse_redis_server("redis.example:7000")->port, 7000);
  EXPECT_EQ(parse_redis_server("[::1]:7000")->host, "::1");
  EXPECT_EQ(parse_redis_server("unix:/run/redis.sock")->unix_path, "/run/redis.sock");
  const auto url = parse_redis_server("rediss://queue:p%40ss@redis.example:6380/2");
  ASSERT_TRUE(url) << url.error();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "redis.example");
  EXPECT_EQ(url->port, 6380);
  EXPECT_EQ(url->username, "queue");
  EXPECT_EQ(url->password(), "p@ss");
  EXPECT_EQ(url->database, 2U);
  EXPECT_FALSE(parse_redis_server("redis://host")->tls);
}

TEST(RedisServerTest, RefusesWhatIsNoAddressAndKeepsThePasswordToItself) {
  for (const char* text : {"", ":7000", "host:", "host:0", "host:70000", "host:x", "::1", "[::1",
                           "[::1]x", "unix:", "http://host", "redis://", "redis://host/x",
                           "redis://u:secret%4@host", "redis://:secret@host:x"}) {
    const auto server = parse_redis_server(text);
    ASSERT_FALSE(server) << text;
    EXPECT_EQ(server.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(server.error().message, Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue
