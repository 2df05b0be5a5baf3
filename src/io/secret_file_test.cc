#include "io/secret_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

namespace gpu_telemetry::io {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SecretFileTest : public testing::Test {
 protected:
  SecretFileTest() : folder_(testing::TempDir() + "secret_file_test") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~SecretFileTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/token"; }
  void write(const std::string& text) const { std::ofstream(path(), std::ios::trunc) << text; }
  Result<std::shared_ptr<SecretFile>> open() {
    return SecretFile::open(path(), clock_,
                            [this](const Result<void>& change) { changes_.push_back(change); });
  }

  std::string folder_;
  ManualClock clock_{from_unix_milliseconds(1'760'000'000'000)};
  std::vector<Result<void>> changes_;
};

TEST_F(SecretFileTest, IsTheTextWithoutTheLineEnd) {
  write("s3cret with spaces \r\n");
  const auto secret = open();
  ASSERT_TRUE(secret) << secret.error();
  EXPECT_EQ((*secret)->text(), "s3cret with spaces");
}

TEST_F(SecretFileTest, AMissingAnEmptyAndAnEndlessFileAreErrorsThatNameIt) {
  auto secret = open();
  ASSERT_FALSE(secret);
  EXPECT_EQ(secret.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(secret.error().message, HasSubstr(path()));
  write("\n\n");
  secret = open();
  ASSERT_FALSE(secret);
  EXPECT_THAT(secret.error().message, HasSubstr("is empty"));
  write(std::string(kMaxSecretSize + 1, 'x'));
  secret = open();
  ASSERT_FALSE(secret);
  EXPECT_THAT(secret.error().message, HasSubstr("longer than"));
  EXPECT_THAT(secret.error().message, Not(HasSubstr("xxx")));
}

TEST_F(SecretFileTest, AChangedFileIsReadAgainAfterASecond) {
  write("one");
  const auto secret = open();
  ASSERT_TRUE(secret) << secret.error();
  write("two");
  EXPECT_EQ((*secret)->text(), "one");
  clock_.advance(std::chrono::seconds{1});
  EXPECT_EQ((*secret)->text(), "two");
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_TRUE(changes_[0]);
  write("three");
  EXPECT_EQ((*secret)->refreshed_text(), "three");
}

TEST_F(SecretFileTest, ABadChangeIsToldOnceAndTheOldTextStays) {
  write("one");
  const auto secret = open();
  ASSERT_TRUE(secret) << secret.error();
  std::filesystem::remove(path());
  for (int i = 0; i < 3; ++i) {
    clock_.advance(std::chrono::seconds{1});
    EXPECT_EQ((*secret)->text(), "one");
  }
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_THAT(changes_[0].error().message, HasSubstr(path()));
  write("two");
  clock_.advance(std::chrono::seconds{1});
  EXPECT_EQ((*secret)->text(), "two");
  EXPECT_EQ(changes_.size(), 2U);
}

}  // namespace
}  // namespace gpu_telemetry::io
