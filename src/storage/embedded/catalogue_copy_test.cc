// What is lost when the catalogue is damaged: nothing, while either of its two files has each page.
#include <gmock/gmock.h>

#include <memory>
#include <new>

#include "storage/embedded/database.h"
#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

const std::string kPath = "/store/catalogue.db";
const std::string kCopy = DatabaseFile::copy_of(kPath);

class CatalogueCopyTest : public testing::Test {
 protected:
  static constexpr int kGpus = 60;  // more than a page of them
  static constexpr std::int64_t kStart = SimulatedStore::kStart;

  static Timestamp at(int time) { return from_unix_milliseconds(kStart + time); }

  // GPUs that are scraped no more and whose batches are in no journal: only the catalogue has who
  // they were and who used them.
  void fill() {
    simulated_.open();
    for (int number = 1; number <= kGpus; ++number) {
      for (int time = 0; time < 2; ++time) {
        auto gpu = std::make_shared<Gpu>();
        gpu->uuid = numbered_gpu(number);
        gpu->hostname = "node-" + std::to_string(number) + std::string(50, 'x');
        gpu->attribution.pod = "pod-" + std::to_string(time);
        const GpuObservation observation{std::move(gpu), at(time), at(time)};
        ASSERT_TRUE(simulated_.store().observe({&observation, 1}));
      }
    }
    simulated_.close();
  }
  void expect_everything() {
    for (int number = 1; number <= kGpus; ++number) {
      const GpuUuid uuid = numbered_gpu(number);
      const auto gpu = simulated_.store().find(uuid);
      ASSERT_TRUE(gpu) << gpu.error();
      EXPECT_EQ(gpu->gpu.hostname, "node-" + std::to_string(number) + std::string(50, 'x'));
      const auto intervals = simulated_.store().attribution(uuid, at(0), at(9));
      ASSERT_TRUE(intervals) << intervals.error();
      ASSERT_THAT(*intervals, SizeIs(2));
      EXPECT_EQ((*intervals)[0].who.pod, "pod-0");
    }
  }
  std::uint64_t size_of(const std::string& path) {
    const auto file = simulated_.disk().open(path, io::OpenMode::kRead);
    return file ? *(*file)->size() : 0;
  }
  std::int64_t version() {
    auto database = *Database::open(simulated_.disk(), kPath);
    auto statement = *database->prepare("PRAGMA user_version");
    return *statement.step() ? statement.integer(0) : -1;
  }
  // As a program without a copy left it.
  void make_version_2() {
    {
      auto database = *Database::open(simulated_.disk(), kPath);
      ASSERT_TRUE(database->execute("PRAGMA user_version=2"));
    }
    ASSERT_TRUE(simulated_.disk().remove(kCopy));
  }

  SimulatedStore simulated_;
};

TEST_F(CatalogueCopyTest, DamageToEitherFileCostsNothingAndIsNamedOnce) {
  fill();
  const std::uint64_t size = size_of(kPath);
  ASSERT_GT(size, 4 * DatabaseFile::kPageSize);
  ASSERT_EQ(size_of(kCopy), size);
  for (const std::string& path : {kPath, kCopy}) {
    for (std::uint64_t page = 0; page < size / DatabaseFile::kPageSize; ++page) {
      for (const std::uint64_t offset : {16, 20, 68, 100, 2000, 4090}) {
        SCOPED_TRACE(path + " at " + std::to_string(offset) + " of page " + std::to_string(page));
        simulated_.disk().damage(path, page * DatabaseFile::kPageSize + offset, 0x08);
        simulated_.open();
        EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr(path + ": 1 of")));
        expect_everything();
        simulated_.open();
        EXPECT_THAT(simulated_.report().damage, IsEmpty());
        simulated_.close();
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(CatalogueCopyTest, DifferentPagesMayBeDamagedInBoth) {
  fill();
  const std::uint64_t pages = size_of(kPath) / DatabaseFile::kPageSize;
  for (std::uint64_t page = 0; page < pages; ++page) {
    simulated_.disk().damage(page % 2 == 0 ? kPath : kCopy, page * DatabaseFile::kPageSize + 99);
  }
  simulated_.open();
  expect_everything();
}

TEST_F(CatalogueCopyTest, APageThatIsDamagedInBothIsNamedAndTheCatalogueMadeAnew) {
  fill();
  for (std::uint64_t page = 0; page < 3; ++page) {
    simulated_.disk().damage(kPath, page * DatabaseFile::kPageSize + 16);
    simulated_.disk().damage(kCopy, page * DatabaseFile::kPageSize + 700);
    simulated_.open();
    EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr("differs from its checksum")));
    const auto aside = simulated_.disk().list("/store/damaged");
    ASSERT_TRUE(aside) << aside.error();
    EXPECT_THAT(*aside, IsSupersetOf({HasSubstr("catalogue.db"), HasSubstr("catalogue.db-copy")}));
    simulated_.~SimulatedStore();
    new (&simulated_) SimulatedStore;
    fill();
  }
}

TEST_F(CatalogueCopyTest, EitherFileMayBeLost) {
  fill();
  const std::uint64_t size = size_of(kPath);
  for (const std::string& path : {kPath, kCopy}) {
    SCOPED_TRACE(path);
    ASSERT_TRUE(simulated_.disk().remove(path));
    const auto checked = check_store(simulated_.options());
    ASSERT_TRUE(checked) << checked.error();
    EXPECT_THAT(checked->damage, Contains(HasSubstr(path + " is missing")));
    simulated_.open();
    EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr(path + " is missing")));
    expect_everything();
    EXPECT_EQ(size_of(path), size);
    simulated_.close();
  }
}

TEST_F(CatalogueCopyTest, APageThatIsDamagedWhileTheStoreIsOpenIsReadFromTheCopy) {
  fill();
  auto database = *Database::open(simulated_.disk(), kPath);
  simulated_.disk().damage(kPath, 3 * DatabaseFile::kPageSize + 1000);
  const auto checked = database->check_structure();
  EXPECT_TRUE(checked) << checked.error();
}

TEST_F(CatalogueCopyTest, ACatalogueWithoutACopyGetsOne) {
  fill();
  make_version_2();
  simulated_.open();
  EXPECT_THAT(simulated_.report().damage, IsEmpty());
  simulated_.close();
  EXPECT_EQ(version(), 3);
  EXPECT_EQ(size_of(kCopy), size_of(kPath));
  simulated_.disk().damage(kPath, 100);
  simulated_.open();
  expect_everything();
}

// The process ended while it made the catalogue.
TEST_F(CatalogueCopyTest, AnEmptyCatalogueGetsACopy) {
  ASSERT_TRUE(simulated_.disk().create_directories("/store"));
  ASSERT_TRUE(simulated_.disk().open(kPath, io::OpenMode::kCreate));
  fill();
  EXPECT_EQ(size_of(kCopy), size_of(kPath));
}

TEST_F(CatalogueCopyTest, ACopyThatIsLostOnAFullDiskIsNamedAndMadeLater) {
  fill();
  ASSERT_TRUE(simulated_.disk().remove(kCopy));
  simulated_.disk().set_free_space(0);
  simulated_.open();
  EXPECT_THAT(simulated_.report().damage, Contains(HasSubstr("too full")));
  expect_everything();
  simulated_.close();
  simulated_.disk().set_free_space(1 << 20);
  simulated_.open();
  simulated_.close();
  EXPECT_EQ(size_of(kCopy), size_of(kPath));
}

TEST_F(CatalogueCopyTest, OnAFullDiskItGoesOnWithoutACopy) {
  fill();
  make_version_2();
  simulated_.disk().set_free_space(0);
  simulated_.open();
  expect_everything();
  simulated_.close();
  EXPECT_EQ(version(), 2);
  simulated_.disk().set_free_space(1 << 20);
  simulated_.open();
  simulated_.close();
  EXPECT_EQ(version(), 3);
}

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
