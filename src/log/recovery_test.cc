// What a log is after its power was cut, its bytes were torn or its device lied.
#include "log/recovery.h"

#include <algorithm>
#include <set>

#include "io/bytes.h"
#include "io/crc32c.h"
#include "log/segment_format.h"
#include "log/test_log.h"

namespace gpu_telemetry::log {
namespace {

using Payloads = std::vector<std::string>;

class RecoveryTest : public LogTest {
 protected:
  std::string content(const std::string& path) { return *io::read_file(*files_, path, 1 << 20); }
  void overwrite(const std::string& path, std::uint64_t offset, std::string_view bytes) {
    auto file = files_->open(path, io::OpenMode::kReadWrite);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(offset, {&bytes, 1}));
    ASSERT_TRUE((*file)->sync_data());
  }
};

TEST_F(RecoveryTest, ARecordTornAtAnyByteIsCutAndTheLogGoesOn) {
  const std::string last = "the last record, which the power cut through";
  for (std::size_t torn = 0; torn < record_size(last.size()); ++torn) {
    files_ = std::make_unique<io::SimulatedFileSystem>();
    auto log = open();
    append(*log, "first");
    const Position position = append(*log, last);
    kill(std::move(log));
    const std::string zeros(1000, '\0');
    overwrite(segment(1), position.offset + torn, zeros);
    const bool anything_is_left =
        content(segment(1)).substr(position.offset, torn) != std::string(torn, '\0');

    Payloads replayed;
    log = open(&replayed);
    const bool is_whole = torn >= kRecordHeaderSize + last.size();  // the rest is padding
    EXPECT_EQ(replayed, is_whole ? (Payloads{"first", last}) : Payloads{"first"}) << torn;
    EXPECT_EQ(report_.torn_tail_bytes > 0, anything_is_left && !is_whole) << torn;
    EXPECT_TRUE(report_.damage.empty()) << torn;
    append(*log, "next");
    log.reset();
    replayed = replay();
    EXPECT_EQ(replayed.back(), "next");
    EXPECT_EQ(replayed.size(), is_whole ? 3U : 2U);
  }
}

TEST_F(RecoveryTest, DamageInTheMiddleIsNamedAndSkippedAndKept) {
  auto log = open();
  append(*log, "one");
  const Position damaged = append(*log, "two");
  append(*log, "three");
  append(*log, "four");
  kill(std::move(log));
  files_->damage(segment(1), damaged.offset + kRecordHeaderSize);
  const std::string before = content(segment(1));

  Payloads replayed;
  log = open(&replayed);
  EXPECT_EQ(replayed, (Payloads{"one", "three", "four"}));
  ASSERT_EQ(report_.damage.size(), 1U);
  EXPECT_NE(report_.damage[0].find(segment(1)), std::string::npos);
  EXPECT_NE(report_.damage[0].find("byte " + std::to_string(damaged.offset)), std::string::npos);
  EXPECT_EQ(report_.torn_tail_bytes, 0U);
  EXPECT_GT(append(*log, "five").segment, damaged.segment);
  EXPECT_EQ(content(segment(1)).substr(0, 500), before.substr(0, 500));
  log.reset();
  EXPECT_EQ(replay(), (Payloads{"one", "three", "four", "five"}));
  EXPECT_EQ(report_.damage.size(), 1U);
}

TEST_F(RecoveryTest, ALogClosedInGoodOrderHasDamageAndNoTornTail) {
  auto log = open();
  append(*log, "one");
  const Position last = append(*log, "two");
  log.reset();
  files_->damage(segment(1), last.offset + kRecordHeaderSize);
  EXPECT_EQ(replay(), (Payloads{"one"}));
  EXPECT_EQ(report_.damage.size(), 1U);
  EXPECT_EQ(report_.torn_tail_bytes, 0U);
}

TEST_F(RecoveryTest, AWriteOfManyRecordsTornInItsMiddleIsATornTail) {
  auto log = open();
  append(*log, "acknowledged");
  const std::string payload(600, 'x');
  const std::string_view piece = payload;
  const std::vector<SegmentLog::Piece> records(5, {1, {&piece, 1}});
  const auto position = log->append_all(records, Durability::kSync);
  ASSERT_TRUE(position);
  kill(std::move(log));
  // As if the third of them had not reached the device when the power went.
  overwrite(segment(1), position->offset + 2 * record_size(600),
            std::string(record_size(600), '\0'));
  EXPECT_EQ(replay(), (Payloads{"acknowledged", payload, payload}));
  EXPECT_TRUE(report_.damage.empty());
  EXPECT_EQ(report_.torn_tail_bytes, 3 * record_size(600));
}

TEST_F(RecoveryTest, WhatWasCutNeverComesBackBehindALaterRecord) {
  auto log = open();
  append(*log, "first");
  const std::string piece_text(100, 'x');
  const std::string_view piece = piece_text;
  const std::vector<SegmentLog::Piece> records(3, {1, {&piece, 1}});
  const auto position = log->append_all(records, Durability::kSync);
  kill(std::move(log));
  files_->damage(segment(1), position->offset);  // the first of the three is torn
  log = open();
  EXPECT_GT(report_.torn_tail_bytes, 0U);
  append(*log, std::string(100, 'y'));  // ends exactly where the second one started
  kill(std::move(log));
  EXPECT_EQ(replay(), (Payloads{"first", std::string(100, 'y')}));
}

TEST_F(RecoveryTest, RecordsOfAnotherGenerationAreNoRecords) {
  auto log = open();
  append(*log, "one");
  const Position second = append(*log, "two");
  kill(std::move(log));
  // The same bytes, under another segment's generation: what a reused block of the disk looks like.
  std::string stale = content(segment(1)).substr(second.offset, record_size(3));
  RecordHeader header;
  header.payload_size = 3;
  header.generation = io::load_fixed<std::uint32_t>(stale.data() + 8) + 1;
  header.offset = static_cast<std::uint32_t>(second.offset);
  header.type = 1;
  std::string forged;
  append_record_header(forged, header, io::crc32c("two"));
  forged += "two";
  overwrite(segment(1), second.offset, forged);
  EXPECT_EQ(replay(), (Payloads{"one"}));
}

TEST_F(RecoveryTest, ARecordCopiedElsewhereIsNoRecord) {
  auto log = open();
  const Position first = append(*log, "one");
  const Position second = append(*log, "two");
  kill(std::move(log));
  const std::string bytes = content(segment(1)).substr(first.offset, record_size(3));
  overwrite(segment(1), second.offset + record_size(3), bytes);
  EXPECT_EQ(replay(), (Payloads{"one", "two"}));
}

TEST_F(RecoveryTest, ADamagedHeaderCostsNoRecord) {
  auto log = open();
  append(*log, "one");
  append(*log, "two");
  log.reset();
  for (std::uint64_t offset = 0; offset < kSegmentHeaderSize; offset += 5) {
    files_->damage(segment(1), offset);
    EXPECT_EQ(replay(), (Payloads{"one", "two"})) << offset;
    ASSERT_FALSE(report_.damage.empty());
    EXPECT_NE(report_.damage[0].find("header"), std::string::npos);
    files_->damage(segment(1), offset);
  }
}

TEST_F(RecoveryTest, WhatIsNoLogIsRefused) {
  ASSERT_TRUE(files_->create_directories("/log"));
  auto file = files_->open(segment(1), io::OpenMode::kCreate);
  const std::string text = "2026-01-01 a log of another sort, with words in it, and more of them";
  const std::string_view bytes = text;
  ASSERT_TRUE((*file)->write_at(0, {&bytes, 1}));
  EXPECT_EQ(try_open().error().code, ErrorCode::kCorrupt);
}

TEST_F(RecoveryTest, ANewerVersionIsRefused) {
  append(*open(), "one");
  SegmentHeader header;
  header.version = 2;
  header.number = 1;
  overwrite(segment(1), 0, encode_segment_header(header));
  const auto opened = try_open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(opened.error().message.find("version 2"), std::string::npos);
}

// A small run through everything: appends of both sorts, a full segment, a roll, a release, a close
// and an opening. Names what was acknowledged, in order.
struct Session {
  explicit Session(SegmentLogOptions given) : options(std::move(given)) {}

  void operator()() {
    for (int session = 0; session < 2; ++session) {
      auto opened = SegmentLog::open(options, {});
      if (!opened) return;
      SegmentLog& log = **opened;
      for (int i = 0; i < 6; ++i) {
        const std::string name = std::to_string(session) + "." + std::to_string(i);
        const Durability durability = i == 2 ? Durability::kBuffered : Durability::kSync;
        const std::string payload = name + std::string(i == 3 ? 2500 : 900, '.');
        attempted.push_back(payload);
        if (!log.append(1, payload, durability)) return;
        if (durability == Durability::kSync) acknowledged = attempted.size();
      }
      if (session == 0 && !log.roll()) return;
    }
  }

  SegmentLogOptions options;
  Payloads attempted;
  std::size_t acknowledged = 0;  // the first so many of them must be there
};

class PowerCutTest : public LogTest, public testing::WithParamInterface<io::PowerCut> {};

TEST_P(PowerCutTest, AtAnyOperationLosesNothingAcknowledgedAndDoublesNothing) {
  for (std::uint64_t cut_at = 1;; ++cut_at) {
    bool was_cut = false;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      files_ = std::make_unique<io::SimulatedFileSystem>();
      auto small = options();
      small.segment_size = 4_KiB;
      Session run(small);
      files_->cut_at(cut_at);
      run();
      was_cut = files_->is_off();
      files_->reboot(GetParam(), seed);

      Payloads replayed;
      for (int opening = 0; opening < 2; ++opening) {
        auto log = open(&replayed);
        ASSERT_TRUE(log);
        ASSERT_TRUE(report_.damage.empty()) << "cut at " << cut_at << ": " << report_.damage[0];
        ASSERT_GE(replayed.size(), run.acknowledged) << "cut at " << cut_at << ", seed " << seed;
        ASSERT_LE(replayed.size(), run.attempted.size());
        for (std::size_t i = 0; i < replayed.size(); ++i) {
          ASSERT_EQ(replayed[i], run.attempted[i]) << "cut at " << cut_at << ", seed " << seed;
        }
        // The log goes on as if nothing had been; opened again, it has the same and this.
        run.attempted.resize(replayed.size());
        run.attempted.push_back("after");
        append(*log, "after");
        run.acknowledged = run.attempted.size();
        kill(std::move(log), io::PowerCut::kDropUnsynced);
      }
    }
    if (!was_cut) {
      EXPECT_GT(cut_at, 40U);
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cuts, PowerCutTest,
                         testing::Values(io::PowerCut::kDropUnsynced, io::PowerCut::kKeepAll,
                                         io::PowerCut::kKeepSomeWrites,
                                         io::PowerCut::kTearSectors));

// An owner as the durable queue is one: state is a set of open numbers, each segment begins with
// all of it, and what lies before the current segment is released.
TEST_P(PowerCutTest, AtAnyOperationAnOwnerThatReleasesBehindCheckpointsKeepsItsState) {
  for (std::uint64_t cut_at = 1;; ++cut_at) {
    files_ = std::make_unique<io::SimulatedFileSystem>();
    std::set<std::string> state;
    auto small = options();
    small.segment_size = 4_KiB;
    small.segment_preamble = [&state] {
      std::string all;
      for (const std::string& each : state) all += each + ";";
      return std::vector<std::pair<std::uint8_t, std::string>>{{2, all}};
    };
    const auto apply = [&state](const Record& record) -> Result<void> {
      const std::string payload(record.payload);
      if (record.type == 2) {
        state.clear();
        for (std::size_t at = 0; at < payload.size(); at = payload.find(';', at) + 1) {
          state.insert(payload.substr(at, payload.find(';', at) - at));
        }
      } else if (payload[0] == '-') {
        state.erase(payload.substr(1, payload.find('.') - 1));
      } else {
        state.insert(payload.substr(1, payload.find('.') - 1));
      }
      return {};
    };
    std::set<std::string> acknowledged;
    std::string attempted;  // the change whose answer never came
    const auto change = [&](SegmentLog& log, char what, const std::string& name) {
      attempted = name;
      if (!log.append(1, what + name + '.' + std::string(700, ' '), Durability::kSync)) {
        return false;
      }
      // As in the queue, the state changes before the next record and after the last.
      what == '+' ? (void)state.insert(name) : (void)state.erase(name);
      acknowledged = state;
      attempted.clear();
      return true;
    };
    const auto run = [&] {
      for (int session = 0; session < 2; ++session) {
        state.clear();
        auto log = SegmentLog::open(small, apply);
        if (!log) return;
        for (int i = 0; i < 14; ++i) {
          const std::string name = std::to_string(session * 100 + i);
          if (!change(**log, '+', name)) return;
          if (i % 3 == 1 && !change(**log, '-', name)) return;
          if (!(*log)->release_before((*log)->segments().back())) return;
        }
      }
    };
    files_->cut_at(cut_at);
    run();
    const bool was_cut = files_->is_off();
    files_->reboot(GetParam(), cut_at);
    for (int opening = 0; opening < 2; ++opening) {
      state.clear();
      auto log = SegmentLog::open(small, apply, &report_);
      ASSERT_TRUE(log) << log.error();
      ASSERT_TRUE(report_.damage.empty()) << "cut at " << cut_at << ": " << report_.damage[0];
      state.erase(attempted);
      std::set<std::string> expected = acknowledged;
      expected.erase(attempted);
      ASSERT_EQ(state, expected) << "cut at " << cut_at;
    }
    if (!was_cut) {
      EXPECT_GT(cut_at, 60U);
      break;
    }
  }
}

TEST_F(RecoveryTest, APowerCutDuringRecoveryIsRecoveredFromToo) {
  for (std::uint64_t cut_at = 1;; ++cut_at) {
    files_ = std::make_unique<io::SimulatedFileSystem>();
    auto log = open();
    append(*log, "kept");
    const Position torn = append(*log, "torn");
    kill(std::move(log));
    files_->damage(segment(1), torn.offset + kRecordHeaderSize);
    files_->cut_at(cut_at);
    (void)try_open();
    const bool was_cut = files_->is_off();
    files_->reboot(io::PowerCut::kKeepSomeWrites, cut_at);
    EXPECT_EQ(replay(), (Payloads{"kept"})) << cut_at;
    EXPECT_TRUE(report_.damage.empty());
    if (!was_cut) break;
  }
}

}  // namespace
}  // namespace gpu_telemetry::log
