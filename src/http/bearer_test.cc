#include "http/bearer.h"

#include <gtest/gtest.h>

#include <string>

namespace gpu_telemetry::http {
namespace {

TEST(BearerTest, FindsTheTokenOfAHeader) {
  EXPECT_EQ(bearer_token("Bearer abc"), "abc");
  EXPECT_EQ(bearer_token("bEARER   abc "), "abc");
  for (const char* other : {"", "Bearer", "Bearer ", "Basic abc", "abc"}) {
    EXPECT_EQ(bearer_token(other), "") << other;
  }
}

TEST(BearerTest, OnlyTheWholeSecretIsTheSame) {
  const std::string known = "0123456789abcdef";
  EXPECT_TRUE(same_secret(known, known));
  for (const std::string& other : {std::string(), known.substr(1), known + known, known + "0",
                                   std::string("0123456789abcdeF"), std::string("X") + known}) {
    EXPECT_FALSE(same_secret(other, known)) << other;
  }
  EXPECT_FALSE(same_secret("", ""));
}

}  // namespace
}  // namespace gpu_telemetry::http
