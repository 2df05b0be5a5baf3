#include "log/segment_log.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "log/segment_format.h"
#include "log/test_log.h"

namespace gpu_telemetry::log {
namespace {

using Payloads = std::vector<std::string>;

class SegmentLogTest : public LogTest {};

TEST_F(SegmentLogTest, WhatWasAppendedIsReplayedInOrder) {
  Payloads expected;
  {
    auto log = open();
    for (int i = 0; i < 500; ++i) {
      expected.push_back(std::string(static_cast<std::size_t>(i), static_cast<char>(i)));
      append(*log, expected.back(), i % 3 == 0 ? Durability::kSync : Durability::kBuffered);
    }
    EXPECT_GT(log->segments().size(), 1U) << "the records do not fit into one";
  }
  EXPECT_EQ(replay(), expected);
  EXPECT_EQ(report_.records, 500U);
  EXPECT_EQ(report_.torn_tail_bytes, 0U);
  EXPECT_TRUE(report_.damage.empty());
  EXPECT_EQ(replay(), expected) << "opening changes nothing";
}

TEST_F(SegmentLogTest, RecordsKeepTheirTypesAndPositions) {
  auto log = open();
  const auto first = log->append(7, "seven", Durability::kSync);
  const auto second = log->append(255, "", Durability::kBuffered);
  ASSERT_TRUE(first && second);
  EXPECT_LT(*first, *second);
  std::vector<std::tuple<Position, int, std::string>> seen;
  ASSERT_TRUE(log->read_segment(first->segment, [&](const Record& record) -> Result<void> {
    seen.emplace_back(record.position, record.type, record.payload);
    return {};
  }));
  ASSERT_EQ(seen.size(), 2U) << "also what is only buffered";
  EXPECT_EQ(seen[0], std::tuple(*first, 7, std::string("seven")));
  EXPECT_EQ(seen[1], std::tuple(*second, 255, std::string()));
}

TEST_F(SegmentLogTest, RecordsInPiecesAreContiguous) {
  {
    auto log = open();
    const std::string_view first[] = {"head", "", "body"};
    const std::string_view second[] = {"alone"};
    const SegmentLog::Piece records[] = {{1, first}, {2, second}, {3, {}}};
    const auto position = log->append_all(records, Durability::kSync);
    ASSERT_TRUE(position);
    EXPECT_EQ(append(*log, "next").offset,
              position->offset + record_size(8) + record_size(5) + record_size(0));
  }
  EXPECT_EQ(replay(), (Payloads{"headbody", "alone", "", "next"}));
}

TEST_F(SegmentLogTest, RefusesWhatNoRecordMayBe) {
  auto log = open();
  EXPECT_EQ(log->append(0, "x", Durability::kSync).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(log->append(1, std::string(70'000, 'x'), Durability::kSync).error().code,
            ErrorCode::kInvalid);
  EXPECT_EQ(log->append_all({}, Durability::kSync).error().code, ErrorCode::kInvalid);
  append(*log, std::string(65'000, 'x'));
}

TEST_F(SegmentLogTest, AGroupLargerThanASegmentGetsALargerSegment) {
  {
    auto log = open();
    append(*log, "before");
    const std::string payload(30'000, 'x');
    const std::string_view piece = payload;
    const std::vector<SegmentLog::Piece> records(10, {1, {&piece, 1}});
    const auto position = log->append_all(records, Durability::kSync);
    ASSERT_TRUE(position) << position.error();
    append(*log, "after");
  }
  EXPECT_EQ(replay().size(), 12U);
}

TEST_F(SegmentLogTest, AFullSegmentIsFollowedByAnotherThatStartsWithThePreamble) {
  int preambles = 0;
  auto options = this->options();
  options.segment_preamble = [&] {
    ++preambles;
    return std::vector<std::pair<std::uint8_t, std::string>>{
        {9, "checkpoint " + std::to_string(preambles)}};
  };
  {
    auto log = *SegmentLog::open(options, {});
    EXPECT_EQ(preambles, 1);
    append(*log, std::string(40'000, 'a'));
    append(*log, std::string(40'000, 'b'));
    EXPECT_EQ(preambles, 2);
    EXPECT_EQ(log->segments(), (std::vector<std::uint64_t>{1, 2}));
  }
  Payloads replayed = replay();
  ASSERT_EQ(replayed.size(), 4U);
  EXPECT_EQ(replayed[0], "checkpoint 1");
  EXPECT_EQ(replayed[2], "checkpoint 2");
  EXPECT_EQ(replayed[3], std::string(40'000, 'b'));
}

TEST_F(SegmentLogTest, RollingSeparatesWhatCameBefore) {
  auto log = open();
  const Position before = append(*log, "before", Durability::kBuffered);
  const auto rolled = log->roll();
  ASSERT_TRUE(rolled);
  EXPECT_LT(before.segment, *rolled);
  EXPECT_EQ(*log->roll(), *rolled) << "an empty segment is new enough";
  EXPECT_EQ(append(*log, "after").segment, *rolled);
}

TEST_F(SegmentLogTest, ReleasedSegmentsAreGoneForGood) {
  auto log = open();
  append(*log, "one");
  const auto second = *log->roll();
  append(*log, "two");
  const auto third = *log->roll();
  append(*log, "three");
  ASSERT_TRUE(log->release_before(second));
  EXPECT_EQ(log->segments(), (std::vector<std::uint64_t>{second, third}));
  EXPECT_EQ(log->remove_segment(third).error().code, ErrorCode::kConflict);
  EXPECT_EQ(log->remove_segment(99).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(log->remove_segment(second));
  EXPECT_EQ(
      log->read_segment(second, [](const Record&) -> Result<void> { return {}; }).error().code,
      ErrorCode::kNotFound);
  ASSERT_TRUE(log->release_before(99)) << "never the current one";
  EXPECT_EQ(log->segments(), (std::vector<std::uint64_t>{third}));
  kill(std::move(log), io::PowerCut::kDropUnsynced);
  EXPECT_EQ(replay(), (Payloads{"three"}));
}

TEST_F(SegmentLogTest, PositionsAreNeverUsedAgain) {
  Position last;
  for (int i = 0; i < 5; ++i) {
    auto log = open();
    const Position position = append(*log, "x");
    EXPECT_GT(position, last);
    last = position;
    ASSERT_TRUE(log->roll());
    ASSERT_TRUE(log->release_before(UINT64_MAX));
  }
}

TEST_F(SegmentLogTest, ASecondOpenerIsRefused) {
  auto log = open();
  EXPECT_EQ(try_open().error().code, ErrorCode::kConflict);
  log.reset();
  EXPECT_TRUE(try_open());
}

TEST_F(SegmentLogTest, AnErrorOfReplayEndsTheOpening) {
  append(*open(), "x");
  const auto opened = SegmentLog::open(
      options(), [](const Record&) -> Result<void> { return invalid("no such record type"); });
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message, "no such record type");
}

TEST_F(SegmentLogTest, ClosingGivesTheUnusedSpaceBack) {
  auto log = open();
  append(*log, "small");
  EXPECT_EQ(log->bytes_on_disk(), (64_KiB).bytes);
  log.reset();
  log = open();
  EXPECT_LT(log->bytes_on_disk(), 100U);
  append(*log, "more");
  EXPECT_EQ(log->bytes_on_disk(), (64_KiB).bytes);
}

TEST_F(SegmentLogTest, AppendersThatWaitTogetherShareASync) {
  auto log = open();
  append(*log, "so that the segment is reserved");
  // Holds the first sync until the others have queued up behind it.
  std::mutex mutex;
  std::condition_variable changed;
  int syncs = 0;
  bool released = false;
  files_->on_sync([&] {
    std::unique_lock lock(mutex);
    ++syncs;
    changed.notify_all();
    if (syncs == 1) changed.wait(lock, [&] { return released; });
  });
  std::vector<std::thread> threads;
  threads.emplace_back([&] { append(*log, "first"); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return syncs == 1; });
  }
  std::atomic<int> started = 0;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      // Buffered ones tell that they are in; synced ones gather behind them.
      append(*log, "buffered", Durability::kBuffered);
      ++started;
      EXPECT_TRUE(log->sync());
    });
  }
  while (started != 16) std::this_thread::yield();
  {
    const std::lock_guard lock(mutex);
    released = true;
    changed.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(syncs, 2) << "one that was held, and one for all sixteen behind it";
  files_->on_sync({});
  log.reset();
  EXPECT_EQ(replay().size(), 18U);
}

TEST_F(SegmentLogTest, ManyAppendersLoseAndDoubleNothing) {
  constexpr int kThreads = 8;
  constexpr int kEach = 300;
  {
    auto log = open();
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          append(*log, std::to_string(t) + ":" + std::to_string(i) + std::string(100, '.'),
                 i % 4 == 0 ? Durability::kSync : Durability::kBuffered);
          if (i % 100 == 50) {
            EXPECT_TRUE(log->roll());
          }
          if (i % 100 == 99) {
            EXPECT_TRUE(log->read_segment(log->segments().back(),
                                          [](const Record&) -> Result<void> { return {}; }));
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::vector<int> next(kThreads, 0);
  for (const std::string& payload : replay()) {
    const auto t = static_cast<std::size_t>(payload[0] - '0');
    ASSERT_EQ(std::stoi(payload.substr(2)), next[t]) << "in the order of each thread";
    ++next[t];
  }
  EXPECT_EQ(next, std::vector<int>(kThreads, kEach));
}

TEST_F(SegmentLogTest, AFailedSyncRefusesEverythingAfterUntilReopened) {
  auto log = open();
  append(*log, "kept");
  files_->fail_sync(1);
  const auto failed = log->append(1, "lost", Durability::kSync);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  for (const Durability durability : {Durability::kSync, Durability::kBuffered}) {
    const auto later = log->append(1, "later", durability);
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error(), failed.error());
  }
  EXPECT_FALSE(log->sync());
  EXPECT_FALSE(log->roll());
  kill(std::move(log), io::PowerCut::kDropUnsynced);
  log = open();
  append(*log, "again");
  log.reset();
  EXPECT_EQ(replay(), (Payloads{"kept", "again"}));
}

TEST_F(SegmentLogTest, AFailedWriteIsFinalToo) {
  auto log = open();
  append(*log, "kept");
  files_->fail_write(1);
  EXPECT_FALSE(log->append(1, std::string(500, 'x'), Durability::kSync));
  EXPECT_EQ(log->append(1, "later", Durability::kSync).error().code, ErrorCode::kUnavailable);
  log.reset();
  EXPECT_EQ(replay(), (Payloads{"kept"})) << "half a record is a torn tail";
  EXPECT_GT(report_.torn_tail_bytes, 0U);
  EXPECT_TRUE(report_.damage.empty());
}

TEST_F(SegmentLogTest, AFailedSyncOfTheFolderIsFinal) {
  auto log = open();
  append(*log, "kept");
  files_->fail_directory_sync(1);
  EXPECT_FALSE(log->roll());
  EXPECT_FALSE(log->append(1, "x", Durability::kSync));
  log.reset();
  EXPECT_EQ(replay(), (Payloads{"kept"}));
}

TEST_F(SegmentLogTest, AFullDiskIsOverWhenThereIsSpace) {
  auto log = open();
  append(*log, std::string(40'000, 'a'));
  files_->set_free_space(1000);
  for (int i = 0; i < 3; ++i) {
    const auto refused = log->append(1, std::string(40'000, 'b'), Durability::kSync);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kFull);
  }
  append(*log, "what is reserved can still be used");
  files_->set_free_space(1 << 20);
  append(*log, std::string(40'000, 'c'));
  kill(std::move(log), io::PowerCut::kDropUnsynced);
  const Payloads replayed = replay();
  ASSERT_EQ(replayed.size(), 3U);
  EXPECT_EQ(replayed[2], std::string(40'000, 'c'));
}

TEST_F(SegmentLogTest, ADiskFullWhenReopenedIsFullAtTheFirstAppend) {
  append(*open(), "first");
  files_->set_free_space(100);
  auto log = open();
  EXPECT_EQ(log->append(1, "second", Durability::kSync).error().code, ErrorCode::kFull);
  files_->set_free_space(1 << 20);
  append(*log, "third");
  log.reset();
  EXPECT_EQ(replay(), (Payloads{"first", "third"}));
}

// A process killed between creating a segment and syncing the folder leaves the name in the page
// cache only; the next one finds the segment and takes it for its own.
TEST_F(SegmentLogTest, ASegmentWhoseNameWasNeverSyncedIsSafeOnceTheLogIsOpen) {
  std::string content;
  {
    auto log = open();
    append(*log, "first");
  }
  content = *io::read_file(*files_, segment(1), 1 << 20);
  files_ = std::make_unique<io::SimulatedFileSystem>();
  ASSERT_TRUE(files_->create_directories("/log"));
  auto file = files_->open(segment(1), io::OpenMode::kCreate);
  ASSERT_TRUE(file);
  const std::string_view bytes = content;
  ASSERT_TRUE((*file)->write_at(0, {&bytes, 1}));
  ASSERT_TRUE((*file)->sync_data());

  auto log = open();
  append(*log, "second");
  kill(std::move(log), io::PowerCut::kDropUnsynced);
  EXPECT_EQ(replay(), (Payloads{"first", "second"}));
}

// What a failed sync left is still readable, and so it is replayed; from then on it must be safe.
TEST_F(SegmentLogTest, WhatIsReplayedAfterAFailedSyncSurvivesThePower) {
  {
    auto log = open();
    append(*log, "synced");
    files_->fail_sync(1);
    EXPECT_FALSE(log->append(1, "not synced", Durability::kSync));
  }
  Payloads replayed;
  auto log = open(&replayed);
  EXPECT_EQ(replayed, (Payloads{"synced", "not synced"}));
  append(*log, "after");
  kill(std::move(log), io::PowerCut::kDropUnsynced);
  EXPECT_EQ(replay(), (Payloads{"synced", "not synced", "after"}));
  EXPECT_TRUE(report_.damage.empty());
}

}  // namespace
}  // namespace gpu_telemetry::log
