#include "io/simulated_file_system.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace gpu_telemetry::io {
namespace {

class SimulatedFileSystemTest : public testing::Test {
 protected:
  SimulatedFileSystemTest() { EXPECT_TRUE(files_.create_directories("/d")); }

  std::unique_ptr<File> create(const std::string& path) {
    auto file = files_.open(path, OpenMode::kCreate);
    EXPECT_TRUE(file) << file.error();
    return std::move(*file);
  }
  std::unique_ptr<File> create_durably(const std::string& path) {
    auto file = create(path);
    EXPECT_TRUE(files_.sync_directory("/d"));
    return file;
  }
  static Result<void> write(File& file, std::uint64_t offset, std::string_view bytes) {
    return file.write_at(offset, {&bytes, 1});
  }
  std::string content(const std::string& path) {
    const auto read = read_file(files_, path, 1 << 20);
    return read ? *read : "(" + std::string(to_string(read.error().code)) + ")";
  }

  SimulatedFileSystem files_;
};

TEST_F(SimulatedFileSystemTest, APowerCutTakesWhatWasNotSynced) {
  auto file = create_durably("/d/a");
  ASSERT_TRUE(write(*file, 0, "synced"));
  ASSERT_TRUE(file->sync_data());
  ASSERT_TRUE(write(*file, 6, " and not"));
  EXPECT_EQ(content("/d/a"), "synced and not");
  files_.reboot();
  EXPECT_EQ(content("/d/a"), "synced");
}

TEST_F(SimulatedFileSystemTest, AFileWhoseFolderWasNotSyncedIsGone) {
  auto file = create("/d/a");
  ASSERT_TRUE(write(*file, 0, "bytes"));
  ASSERT_TRUE(file->sync_data());
  files_.reboot();
  EXPECT_EQ(content("/d/a"), "(not found)");
}

TEST_F(SimulatedFileSystemTest, ARenameAndARemovalNeedTheFolderSyncedToo) {
  auto file = create_durably("/d/a");
  ASSERT_TRUE(write(*file, 0, "a"));
  ASSERT_TRUE(file->sync_data());
  ASSERT_TRUE(files_.rename("/d/a", "/d/b"));
  files_.reboot();
  EXPECT_EQ(content("/d/a"), "a");
  EXPECT_EQ(content("/d/b"), "(not found)");

  ASSERT_TRUE(files_.rename("/d/a", "/d/b"));
  ASSERT_TRUE(files_.sync_directory("/d"));
  ASSERT_TRUE(files_.remove("/d/b"));
  files_.reboot();
  EXPECT_EQ(content("/d/b"), "a");
}

TEST_F(SimulatedFileSystemTest, PublishingAtomicallyNeverShowsHalfAFileAtAnyCut) {
  for (const PowerCut what : {PowerCut::kDropUnsynced, PowerCut::kKeepAll,
                              PowerCut::kKeepSomeWrites, PowerCut::kTearSectors}) {
    for (std::uint64_t n = 1;; ++n) {
      SimulatedFileSystem files;
      ASSERT_TRUE(files.create_directories("/d"));
      ASSERT_TRUE(write_file_atomically(files, "/d/a", std::string(2000, '1')));
      files.cut_at(n);
      const auto published = write_file_atomically(files, "/d/a", std::string(2000, '2'));
      const bool was_cut = files.is_off();
      EXPECT_NE(was_cut, published.has_value());
      files.reboot(what, n);
      const std::string found = *read_file(files, "/d/a", 1 << 20);
      EXPECT_TRUE(found == std::string(2000, '2') ||
                  (!published && found == std::string(2000, '1')))
          << "cut at operation " << n;
      if (!was_cut) break;
    }
  }
}

TEST_F(SimulatedFileSystemTest, AfterTheCutEverythingFailsUntilTheReboot) {
  auto file = create_durably("/d/a");
  auto lock = files_.lock("/d/LOCK");
  files_.cut_at(2);
  EXPECT_TRUE(write(*file, 0, "x"));
  EXPECT_EQ(file->sync_data().error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(files_.is_off());
  EXPECT_FALSE(files_.open("/d/a", OpenMode::kRead));
  EXPECT_FALSE(files_.list("/d"));
  EXPECT_FALSE(file->size());
  files_.reboot();
  EXPECT_FALSE(file->size()) << "a file of before stays dead";
  EXPECT_TRUE(files_.lock("/d/LOCK")) << "the lock died with its holder";
  EXPECT_EQ(content("/d/a"), "");
}

TEST_F(SimulatedFileSystemTest, ATornWriteKeepsSomeSectorsAndNeverPartOfOne) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SimulatedFileSystem files;
    ASSERT_TRUE(files.create_directories("/d"));
    auto file = *files.open("/d/a", OpenMode::kCreate);
    ASSERT_TRUE(files.sync_directory("/d"));
    ASSERT_TRUE(file->preallocate(1536));
    ASSERT_TRUE(file->sync_data());
    ASSERT_TRUE(write(*file, 256, std::string(1280, 'x')));
    files.reboot(PowerCut::kTearSectors, seed);
    const std::string found = *read_file(files, "/d/a", 4096);
    std::string shape;
    for (const auto& [start, size] : {std::pair{256U, 256U}, {512U, 512U}, {1024U, 512U}}) {
      const std::string sector = found.substr(start, size);
      ASSERT_TRUE(sector == std::string(size, 'x') || sector == std::string(size, '\0'));
      shape += sector[0] == 'x' ? 'x' : '-';
    }
    seen.insert(shape);
  }
  EXPECT_EQ(seen.size(), 8U);
}

TEST_F(SimulatedFileSystemTest, AFailedSyncLosesTheBytesForGood) {
  auto file = create_durably("/d/a");
  ASSERT_TRUE(write(*file, 0, "lost"));
  files_.fail_sync(1);
  EXPECT_FALSE(file->sync_data());
  EXPECT_TRUE(file->sync_data()) << "the second try lies, as the kernel's does";
  EXPECT_EQ(content("/d/a"), "lost");
  files_.reboot();
  EXPECT_EQ(content("/d/a"), "");
}

TEST_F(SimulatedFileSystemTest, AFullDiskIsFullUntilSomethingIsRemoved) {
  auto first = create_durably("/d/a");
  ASSERT_TRUE(first->preallocate(1000));
  files_.set_free_space(500);
  auto second = create_durably("/d/b");
  EXPECT_EQ(second->preallocate(501).error().code, ErrorCode::kFull);
  EXPECT_EQ(write(*second, 0, std::string(501, 'x')).error().code, ErrorCode::kFull);
  EXPECT_EQ(second->truncate(501).error().code, ErrorCode::kFull);
  EXPECT_TRUE(write(*first, 0, std::string(1000, 'x'))) << "preallocated bytes are there";
  ASSERT_TRUE(files_.remove("/d/a"));
  EXPECT_EQ(*files_.free_space("/d"), 1500U);
  EXPECT_TRUE(second->preallocate(1500));
}

TEST_F(SimulatedFileSystemTest, DamageShowsAtOnceAndAfterAReboot) {
  auto file = create_durably("/d/a");
  ASSERT_TRUE(write(*file, 0, "abc"));
  ASSERT_TRUE(file->sync_data());
  files_.damage("/d/a", 1, 0x20);
  EXPECT_EQ(content("/d/a"), "aBc");
  files_.reboot();
  EXPECT_EQ(content("/d/a"), "aBc");
}

}  // namespace
}  // namespace gpu_telemetry::io
