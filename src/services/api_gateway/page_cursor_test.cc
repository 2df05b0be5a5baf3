#include "services/api_gateway/page_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpu_telemetry::services {
namespace {

using ::testing::HasSubstr;

const storage::SampleKey kKey{from_unix_milliseconds(1'752'871'354'123), "DCGM_FI_DEV_GPU_TEMP"};

TEST(PageCursor, LeadsBackToTheKeyItWasMadeOf) {
  const auto key = decode_cursor(encode_cursor(42, kKey), 42);
  ASSERT_TRUE(key) << key.error();
  EXPECT_EQ(*key, kKey);
}

TEST(PageCursor, OfAnotherQuestionIsRefused) {
  const auto key = decode_cursor(encode_cursor(42, kKey), 43);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(key.error().message, HasSubstr("another query"));
}

TEST(PageCursor, ThatWasTamperedWithIsRefused) {
  const std::string good = encode_cursor(42, kKey);
  for (const std::string& bad :
       {std::string(), std::string("x"), good.substr(1), good + "zz", good.substr(0, 20),
        std::string(10'000, 'a'), "02" + good.substr(2)}) {
    EXPECT_FALSE(decode_cursor(bad, 42)) << bad;
  }
}

TEST(QuestionHash, TellsPartsApart) {
  QuestionHash a;
  a.add("ab");
  a.add("c");
  QuestionHash b;
  b.add("a");
  b.add("bc");
  EXPECT_NE(a.value(), b.value());
}

}  // namespace
}  // namespace gpu_telemetry::services
