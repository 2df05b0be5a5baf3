// What every FileSystem does, on the real one and on the simulated one.
#include "io/file_system.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "io/simulated_file_system.h"

namespace gpu_telemetry::io {
namespace {

using ::testing::TestWithParam;

class FileSystemContract : public TestWithParam<bool> {
 protected:
  FileSystemContract() {
    if (is_real()) {
      std::string pattern = std::filesystem::temp_directory_path() / "file_system_test_XXXXXX";
      folder_ = ::mkdtemp(pattern.data());
    } else {
      folder_ = "/folder";
      EXPECT_TRUE(simulated_.create_directories(folder_));
    }
  }
  ~FileSystemContract() override {
    if (is_real()) std::filesystem::remove_all(folder_);
  }

  bool is_real() const { return GetParam(); }
  FileSystem& files() { return is_real() ? posix_file_system() : simulated_; }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::unique_ptr<File> create(const std::string& name, std::string_view content = {}) {
    auto file = files().open(path(name), OpenMode::kCreate);
    EXPECT_TRUE(file) << file.error();
    EXPECT_TRUE((*file)->write_at(0, {&content, 1}));
    return std::move(*file);
  }
  std::string content(const std::string& name) {
    auto read = read_file(files(), path(name), 1 << 20);
    EXPECT_TRUE(read) << read.error();
    return read ? *read : "";
  }

  std::string folder_;
  SimulatedFileSystem simulated_;
};

TEST_P(FileSystemContract, ReadsBackWhatWasWrittenInPieces) {
  auto file = create("a");
  std::vector<std::string> parts;
  std::string whole;
  for (int i = 0; i < 1000; ++i) {
    parts.push_back(std::string(static_cast<std::size_t>(i % 50), static_cast<char>('a' + i % 26)));
    whole += parts.back();
  }
  const std::vector<std::string_view> pieces(parts.begin(), parts.end());
  ASSERT_TRUE(file->write_at(3, pieces));
  EXPECT_TRUE(file->sync_data());
  EXPECT_EQ(content("a"), std::string(3, '\0') + whole);
  EXPECT_EQ(*file->size(), whole.size() + 3);
}

TEST_P(FileSystemContract, AReadPastTheEndIsShort) {
  auto file = create("a", "hello");
  std::string out(10, '?');
  EXPECT_EQ(*file->read_at(2, out.data(), 10), 3U);
  EXPECT_EQ(out.substr(0, 3), "llo");
  EXPECT_EQ(*file->read_at(5, out.data(), 10), 0U);
}

TEST_P(FileSystemContract, SaysWhichFileIsMissing) {
  const auto file = files().open(path("nothing"), OpenMode::kRead);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_NE(file.error().message.find(path("nothing")), std::string::npos);
  EXPECT_NE(file.error().message.find("No such file or directory"), std::string::npos);
  EXPECT_EQ(files().remove(path("nothing")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files().map(path("nothing")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files().rename(path("nothing"), path("b")).error().code, ErrorCode::kNotFound);
}

TEST_P(FileSystemContract, CreatingWhatIsThereIsAConflict) {
  create("a", "x");
  EXPECT_EQ(files().open(path("a"), OpenMode::kCreate).error().code, ErrorCode::kConflict);
  EXPECT_EQ(content("a"), "x");
}

TEST_P(FileSystemContract, PreallocatingGrowsWithZerosAndNeverShrinks) {
  auto file = create("a", "abc");
  ASSERT_TRUE(file->preallocate(6));
  EXPECT_EQ(content("a"), std::string("abc\0\0\0", 6));
  ASSERT_TRUE(file->preallocate(2));
  EXPECT_EQ(*file->size(), 6U);
}

TEST_P(FileSystemContract, TruncatingAndGrowingAgainReadsZeros) {
  auto file = create("a", "abcdef");
  ASSERT_TRUE(file->truncate(2));
  ASSERT_TRUE(file->truncate(4));
  EXPECT_EQ(content("a"), std::string("ab\0\0", 4));
}

TEST_P(FileSystemContract, RenamingReplacesAndAnOpenFileStaysReadable) {
  auto replaced = create("b", "old");
  create("a", "new");
  ASSERT_TRUE(files().rename(path("a"), path("b")));
  EXPECT_EQ(content("b"), "new");
  EXPECT_FALSE(*files().exists(path("a")));
  std::string out(3, '?');
  EXPECT_EQ(*replaced->read_at(0, out.data(), 3), 3U);
  EXPECT_EQ(out, "old");
}

TEST_P(FileSystemContract, AMappingOutlivesItsFile) {
  create("a", "mapped bytes");
  create("empty");
  auto mapped = files().map(path("a"));
  ASSERT_TRUE(mapped) << mapped.error();
  ASSERT_TRUE(files().remove(path("a")));
  EXPECT_EQ((*mapped)->bytes(), "mapped bytes");
  EXPECT_EQ((*files().map(path("empty")))->bytes(), "");
}

TEST_P(FileSystemContract, ListsNamesInOrder) {
  ASSERT_TRUE(files().create_directories(path("sub/deeper/")));
  ASSERT_TRUE(files().create_directories(path("sub/deeper")));
  create("b");
  create("a");
  create("sub/x");
  EXPECT_EQ(*files().list(folder_), (std::vector<std::string>{"a", "b", "sub"}));
  EXPECT_EQ(*files().list(path("sub")), (std::vector<std::string>{"deeper", "x"}));
  EXPECT_EQ(files().list(path("none")).error().code, ErrorCode::kNotFound);
}

TEST_P(FileSystemContract, AFileIsNoFolder) {
  create("a");
  EXPECT_EQ(files().create_directories(path("a")).error().code, ErrorCode::kConflict);
}

TEST_P(FileSystemContract, OneHoldsALockAtATime) {
  auto first = files().lock(path("LOCK"));
  ASSERT_TRUE(first) << first.error();
  EXPECT_EQ(files().lock(path("LOCK")).error().code, ErrorCode::kConflict);
  first->reset();
  EXPECT_TRUE(files().lock(path("LOCK")));
}

TEST_P(FileSystemContract, PublishesAWholeFileOrNone) {
  ASSERT_TRUE(write_file_atomically(files(), path("a"), "first"));
  create("a.tmp", "left over by a crash");
  ASSERT_TRUE(write_file_atomically(files(), path("a"), "second"));
  EXPECT_EQ(content("a"), "second");
  EXPECT_EQ(*files().list(folder_), (std::vector<std::string>{"a"}));
}

TEST_P(FileSystemContract, ReadsNoFileLargerThanAllowed) {
  create("a", "12345");
  EXPECT_TRUE(read_file(files(), path("a"), 5));
  EXPECT_EQ(read_file(files(), path("a"), 4).error().code, ErrorCode::kFull);
}

TEST_P(FileSystemContract, TellsFreeSpace) { EXPECT_GT(*files().free_space(folder_), 0U); }

INSTANTIATE_TEST_SUITE_P(Real, FileSystemContract, testing::Values(true));
INSTANTIATE_TEST_SUITE_P(Simulated, FileSystemContract, testing::Values(false));

TEST(ParentFolder, IsTheFolderAPathLiesIn) {
  EXPECT_EQ(parent_folder("/a/b"), "/a");
  EXPECT_EQ(parent_folder("/a/b/"), "/a");
  EXPECT_EQ(parent_folder("a//b"), "a");
  EXPECT_EQ(parent_folder("b"), ".");
  EXPECT_EQ(parent_folder("/a"), "/");
  EXPECT_EQ(parent_folder("/"), "/");
}

TEST(PosixFileSystem, SaysThatAFullDeviceIsFull) {
  // /dev/full refuses every write with ENOSPC.
  if (!*posix_file_system().exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full here";
  auto file = posix_file_system().open("/dev/full", OpenMode::kReadWrite);
  if (!file) GTEST_SKIP() << file.error();
  const std::string_view text = "text";
  const auto written = (*file)->write_at(0, {&text, 1});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kFull);
  EXPECT_NE(written.error().message.find("/dev/full"), std::string::npos);
}

}  // namespace
}  // namespace gpu_telemetry::io
