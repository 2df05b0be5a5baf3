#include "queue/http_api/binary_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/http_api/base64.h"

namespace gpu_telemetry::queue {
namespace {

Delivery delivery() {
  Delivery made;
  made.message_id = "id";
  made.receipt = "receipt";
  made.payload = std::make_shared<const std::string>("\0\xff payload", 10);
  made.headers = {{"a", ""}, {"", "b"}};
  made.published = from_unix_milliseconds(1'760'000'000'123);
  made.delivery_count = 300;
  return made;
}

TEST(BinaryBody, DeliveriesComeBackAsTheyWere) {
  const auto read = binary::read_deliveries(binary::write_deliveries({delivery(), delivery()}));
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->size(), 2U);
  const Delivery& second = (*read)[1];
  EXPECT_EQ(second.message_id, "id");
  EXPECT_EQ(second.receipt, "receipt");
  EXPECT_EQ(*second.payload, *delivery().payload);
  EXPECT_EQ(second.headers, delivery().headers);
  EXPECT_EQ(second.published, delivery().published);
  EXPECT_EQ(second.delivery_count, 300U);
}

TEST(BinaryBody, StatisticsComeBackAsTheyWere) {
  TopicStatistics topic;
  topic.topic = "t";
  topic.messages = 1;
  topic.bytes = 2;
  topic.published_total = 3;
  topic.rejected_total = 4;
  topic.deduplicated_total = 5;
  GroupStatistics group;
  group.group = "g";
  group.dead_dropped_total = 1ULL << 60;
  group.oldest_age = std::chrono::hours{1};
  group.consumers = 7;
  topic.groups = {group};
  const auto read = binary::read_statistics(binary::write_statistics({topic}));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ((*read)[0].deduplicated_total, 5U);
  EXPECT_EQ((*read)[0].groups[0].dead_dropped_total, 1ULL << 60);
  EXPECT_EQ((*read)[0].groups[0].oldest_age, std::chrono::hours{1});
  EXPECT_EQ((*read)[0].groups[0].consumers, 7U);
}

TEST(BinaryBody, NoPrefixAndNoExtensionOfABodyIsOne) {
  const std::string whole = binary::write_deliveries({delivery()});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(binary::read_deliveries(whole.substr(0, size))) << size;
  }
  EXPECT_FALSE(binary::read_deliveries(whole + '\0'));
  EXPECT_FALSE(binary::read_published(whole));
}

TEST(BinaryBody, TellsAnotherVersionFromDamage) {
  std::string other = binary::write_count(3);
  other[3] = 9;
  EXPECT_TRUE(binary::is_other_version(other));
  const auto read = binary::read_count(other);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(read.error().message, testing::HasSubstr("version 9"));
}

TEST(BinaryBody, ACountIsBoundedBeforeItIsBelieved) {
  std::string body = binary::write_deliveries({});
  body.back() = '\x7f';
  EXPECT_FALSE(binary::read_deliveries(body));
}

TEST(Base64, HasOneSpellingForAnyBytes) {
  std::string bytes;
  for (int i = 0; i < 260; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
    bytes += static_cast<char>(i);
  }
  EXPECT_EQ(encode_base64("Man"), "TWFu");
  EXPECT_EQ(encode_base64("Ma"), "TWE=");
  EXPECT_EQ(encode_base64("M"), "TQ==");
  for (const char* wrong :
       {"T", "TQ", "TQ=", "TR==", "TWF=", "TW=u", "====", "TQ==TQ==", "T Q=", "TWFu\n"}) {
    EXPECT_EQ(decode_base64(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace gpu_telemetry::queue
