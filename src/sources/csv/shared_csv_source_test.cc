// A file that several readers share: every row once, wherever they begin and end.
#include <zlib.h>

#include <random>

#include "sources/csv/csv_positions.h"
#include "sources/csv/csv_source_test.h"
#include "sources/shareable_source.h"

namespace gpu_telemetry::sources {
namespace {

std::string uuid_of(int gpu) {
  const std::string number = std::to_string(100 + gpu);
  return "GPU-5fd4f087-86f3-7a43-b711-477131300" + number;
}
std::uint32_t shard_of_gpu(int gpu) { return shard_of(*GpuUuid::parse(uuid_of(gpu))); }

ShardSelection everything_from(std::uint64_t position) {
  ShardSelection selection;
  selection.from.fill(position);
  return selection;
}

// One reading that was handed out: of which GPU, when, which metric, what.
using Reading3 = std::tuple<std::string, std::string, double>;
struct Window {
  std::vector<Reading3> readings;
  std::vector<std::pair<std::string, Timestamp>> scrapes;
  WindowEnd end;
  bool ended = false;  // there was no window any more
};

Window next_window(Source& source, std::size_t max_rows = 1000) {
  Window window;
  TelemetryBatch batch;
  while (true) {
    const Result<SourceState> state = source.next(batch, max_rows, {});
    EXPECT_TRUE(state.has_value()) << state.error().message;
    window.ended = !state || *state == SourceState::kEnd;
    if (window.ended) return window;
    EXPECT_LE(batch.samples.size(), max_rows);
    expect_valid(batch);
    for (const Scrape& scrape : batch.scrapes) {
      const std::string uuid = batch.gpus[scrape.gpu]->uuid.to_string();
      window.scrapes.emplace_back(uuid, scrape.timestamp);
      for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
        const Sample& sample = batch.samples[scrape.first_sample + i];
        window.readings.emplace_back(uuid, batch.metrics[sample.metric], sample.value);
      }
    }
    if (*state == SourceState::kWindowEnd) break;
  }
  window.end = source.shareable()->window_end();
  return window;
}

// How far each shard has been published, as a queue would keep it.
class Board {
 public:
  std::uint64_t position(std::uint32_t shard) const { return positions_[shard]; }
  bool finished() const {
    return std::ranges::all_of(finished_, [](bool each) { return each; });
  }
  ShardSelection selection(ShardSet shards) const {
    ShardSelection selection;
    for (std::uint32_t shard = 0; shard < kShareableShards; ++shard) {
      if (contains(shards, shard) && !finished_[shard]) selection.from[shard] = positions_[shard];
    }
    return selection;
  }
  void accept(const Window& window) {
    for (std::uint32_t shard = 0; shard < kShareableShards; ++shard) {
      if (!contains(window.end.shards, shard)) continue;
      positions_[shard] = std::max(positions_[shard], window.end.position);
      finished_[shard] = window.end.finished;
    }
    for (const Reading3& reading : window.readings) ++published[reading];
  }

  std::map<Reading3, int> published;

 private:
  std::array<std::uint64_t, kShareableShards> positions_{};
  std::array<bool, kShareableShards> finished_{};
};

// Text with everything that makes a row boundary hard to find again. Values are unique.
std::string awkward_text(unsigned seed, int rows) {
  std::mt19937 random(seed);
  std::string text = seed % 2 == 0 ? "\xef\xbb\xbf" : "";
  const std::string end = seed % 3 == 0 ? "\r\n" : "\n";
  text += "timestamp,metric_name,uuid,value,Hostname" + end;
  for (int i = 0; i < rows; ++i) {
    const std::string row = time_text(i % 40) + ",metric_" + std::to_string(i / 40) + "," +
                            uuid_of(static_cast<int>(random() % 30)) + "," + std::to_string(i);
    switch (random() % 12) {
      case 0:
        text += row + ",\"two\nlines, \"\"quoted\"\"\"" + end;
        break;
      case 1:
        text += row + end;  // a column is missing
        text += row + ",node" + end;
        break;
      case 2:
        text += end + row + ",node" + end;
        break;
      case 3:
        text += row + ",no\"de" + end;  // a misplaced quote
        text += row + ",\"node\"" + end;
        break;
      case 4:
        text += "\"a row that\nis none\"" + end + row + ",node" + end;
        break;
      default:
        text += row + ",node" + end;
    }
  }
  return text;
}

class SharedCsvSourceTest : public CsvSourceTest {
 protected:
  // The file at the path as one more process opens it.
  std::unique_ptr<Source> another() {
    Result<std::unique_ptr<Source>> source = open_csv_source(options_);
    EXPECT_TRUE(source.has_value()) << source.error().message;
    return std::move(*source);
  }
  static void select(Source& source, const ShardSelection& selection, std::size_t rows = 100) {
    source.shareable()->set_window(rows);
    const Result<void> selected = source.shareable()->select(selection, {});
    ASSERT_TRUE(selected) << selected.error();
  }
  void write_gzip(std::string_view text) {
    gzFile file = ::gzopen(path_.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ::gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    ::gzclose(file);
    options_.path = path_;
    options_.clock = &clock_;
  }

  // Readers take turns with random shards, positions as the board has them, windows of random
  // sizes, some of which are not accepted, until everything is published.
  void read_in_turns(unsigned seed, Board& board) {
    std::mt19937_64 random(seed);
    std::vector<std::unique_ptr<Source>> readers;
    for (int i = 0; i < 3; ++i) readers.push_back(another());
    for (int turn = 0; !board.finished(); ++turn) {
      ASSERT_LT(turn, 5000);
      Source& reader = *readers[random() % readers.size()];
      const ShardSelection selection = board.selection(random() | random());
      if (selection.shards() == 0) continue;
      ASSERT_NO_FATAL_FAILURE(select(reader, selection, 1 + random() % 60));
      for (auto windows = random() % 6; windows > 0; --windows) {
        const Window window = next_window(reader, 1 + random() % 40);
        if (window.ended) break;
        if (windows == 1 && random() % 2 == 0) break;  // it died, or lost its lease
        board.accept(window);
      }
    }
  }
  std::map<Reading3, int> every_reading_once() {
    std::map<Reading3, int> readings;
    auto source = another();
    TelemetryBatch batch;
    while (source->next(batch, 1000, {}).value() == SourceState::kBatch) {
      for (const Scrape& scrape : batch.scrapes) {
        for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
          const Sample& sample = batch.samples[scrape.first_sample + i];
          readings[{batch.gpus[scrape.gpu]->uuid.to_string(), batch.metrics[sample.metric],
                    sample.value}] = 1;
        }
      }
    }
    return readings;
  }
};

TEST_F(SharedCsvSourceTest, ReadersInAnyOrderPublishEveryRowOnce) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    write(awkward_text(seed, 1500));
    const auto expected = every_reading_once();
    ASSERT_GT(expected.size(), 1200U);
    Board board;
    ASSERT_NO_FATAL_FAILURE(read_in_turns(seed, board));
    EXPECT_EQ(board.published, expected);
  }
}

TEST_F(SharedCsvSourceTest, ReadersOfCompressedTextPublishEveryRowOnce) {
  write_gzip(awkward_text(3, 1500));
  const auto expected = every_reading_once();
  Board board;
  ASSERT_NO_FATAL_FAILURE(read_in_turns(5, board));
  EXPECT_EQ(board.published, expected);
}

// Rows, and between them anything that makes a scanner lose its way: quotes, torn lines, lines that
// are longer than what it keeps.
std::string damaged_text(std::mt19937& random) {
  std::string text = "timestamp,metric_name,uuid,value,Hostname\n";
  const int rows = 50 + static_cast<int>(random() % 300);
  for (int i = 0; i < rows; ++i) {
    text += time_text(i % 40) + ",metric_" + std::to_string(i) + "," +
            uuid_of(static_cast<int>(random() % 10)) + "," + std::to_string(i) +
            (random() % 3 == 0 ? ",\"no\nde\"\n" : ",node\n");
    if (random() % 4 != 0) continue;
    static constexpr std::string_view kPieces[] = {"\"", ",", "\n", "\r\n", "\"\"", "a", "1,2,3,4"};
    for (auto pieces = random() % 8; pieces > 0; --pieces) text += kPieces[random() % 7];
    if (random() % 40 == 0)
      text += std::string(random() % 3'000'000, random() % 2 == 0 ? 'x' : ',');
    if (random() % 2 == 0) text += "\n";
  }
  return text;
}

TEST_F(SharedCsvSourceTest, ReadersOfDamagedTextPublishWhatOneReaderWould) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    write(damaged_text(random));
    const auto expected = every_reading_once();
    Board board;
    for (int turn = 0; !board.finished(); ++turn) {
      ASSERT_LT(turn, 2000);
      auto source = another();
      select(*source, board.selection(kAllShards), 1 + random() % 9);
      for (auto windows = 1 + random() % 3; windows > 0; --windows) {
        const Window window = next_window(*source);
        if (window.ended) break;
        board.accept(window);
      }
    }
    EXPECT_EQ(board.published, expected);
  }
}

TEST_F(SharedCsvSourceTest, AReaderThatGoesOnStampsLaterThanTheOneThatSettledBefore) {
  options_.timestamp_mode = TimestampMode::kNow;
  write(awkward_text(4, 600));
  const auto expected = every_reading_once();
  Board board;
  std::map<std::string, Timestamp> last;
  while (!board.finished()) {
    auto source = another();
    select(*source, board.selection(kAllShards), 50);
    std::map<std::string, Timestamp> latest = last;
    for (int i = 0; i < 3; ++i) {
      const Window window = next_window(*source);
      if (window.ended) break;
      for (const auto& [uuid, time] : window.scrapes) {
        ASSERT_TRUE(!last.contains(uuid) || time > last[uuid]);
        latest[uuid] = std::max(latest[uuid], time);
      }
      board.accept(window);
    }
    last = latest;
    clock_.advance(std::chrono::milliseconds{600});
    ASSERT_EQ(source->shareable()->until_settled(), Milliseconds{0});
  }
  EXPECT_EQ(board.published, expected);
}

TEST_F(SharedCsvSourceTest, AWindowEndsBehindItsLastRowAndTheNextReaderBeginsThere) {
  std::string text(kHeader);
  for (int i = 0; i < 10; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(i), "1");
  write(text);
  auto source = another();
  select(*source, everything_from(0), 4);
  const Window first = next_window(*source);
  EXPECT_THAT(first.readings, SizeIs(4));
  EXPECT_EQ(first.end.position, text.find(row(4, "DCGM_FI_DEV_GPU_UTIL", uuid_of(4), "1")));
  EXPECT_EQ(first.end.shards, kAllShards);
  EXPECT_FALSE(first.end.finished);
  auto other = another();
  select(*other, everything_from(first.end.position), 100);
  const Window rest = next_window(*other);
  EXPECT_THAT(rest.readings, SizeIs(6));
  EXPECT_TRUE(rest.end.finished);
  EXPECT_TRUE(next_window(*other).ended);
  EXPECT_TRUE(next_window(*other).ended);
}

TEST_F(SharedCsvSourceTest, ShardsThatAreFurtherOnAreSkippedUntilTheirPosition) {
  std::string text(kHeader);
  for (int i = 0; i < 20; ++i) {
    text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(i % 2), std::to_string(i));
  }
  ASSERT_NE(shard_of_gpu(0), shard_of_gpu(1));
  write(text);
  auto source = another();
  const std::uint64_t ahead = text.find(row(10, "DCGM_FI_DEV_GPU_UTIL", uuid_of(0), "10"));
  ShardSelection selection;
  selection.from[shard_of_gpu(0)] = ahead;
  selection.from[shard_of_gpu(1)] = 0;
  select(*source, selection, 3);
  std::multiset<double> values;
  ShardSet shards = 0;
  for (Window window; !(window = next_window(*source)).ended;) {
    for (const Reading3& reading : window.readings) values.insert(std::get<2>(reading));
    if (window.end.position <= ahead) {
      EXPECT_FALSE(contains(window.end.shards, shard_of_gpu(0)));
    }
    shards |= window.end.shards;
  }
  EXPECT_EQ(values, (std::multiset<double>{1, 3, 5, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}));
  EXPECT_EQ(shards, selection.shards());
}

TEST_F(SharedCsvSourceTest, ALoopGoesOnInTheNextPassAndInTheMiddleOfOne) {
  options_.loop = true;
  std::string text(kHeader);
  for (int i = 0; i < 5; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(i), "1");
  write(text);
  auto source = another();
  select(*source, everything_from(0), 3);
  EXPECT_THAT(next_window(*source).readings, SizeIs(3));
  Window window = next_window(*source);
  EXPECT_THAT(window.readings, SizeIs(2));
  const csv::CsvPositions positions = csv::CsvPositions::for_text_of(16 * text.size());
  EXPECT_EQ(window.end.position, positions.at(1, 0));
  EXPECT_THAT(next_window(*source).readings, SizeIs(3));

  auto other = another();
  const std::uint64_t in_seventh = positions.at(6, text.find(time_text(3)) - 1);
  select(*other, everything_from(in_seventh), 3);
  window = next_window(*other);
  EXPECT_THAT(window.readings, SizeIs(2));
  EXPECT_EQ(window.end.position, positions.at(7, 0));
}

TEST_F(SharedCsvSourceTest, ALoopOverShardsWithoutAReadingEnds) {
  options_.loop = true;
  std::string text(kHeader);
  for (int i = 0; i < 4; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(0), "1");
  write(text);
  auto source = another();
  ShardSelection selection;
  selection.from[(shard_of_gpu(0) + 1) % kShareableShards] = text.find(time_text(2)) - 1;
  select(*source, selection);
  // The rest of the first pass may have been unlucky; the whole second one says that there is none.
  Window window = next_window(*source);
  EXPECT_FALSE(window.end.finished);
  window = next_window(*source);
  EXPECT_TRUE(window.readings.empty());
  EXPECT_TRUE(window.end.finished);
  EXPECT_EQ(window.end.shards, selection.shards());
  EXPECT_TRUE(next_window(*source).ended);
}

TEST_F(SharedCsvSourceTest, APositionOfALoopIsTheEndForAReaderWithoutOne) {
  write(std::string(kHeader) + row(0, "DCGM_FI_DEV_GPU_UTIL", uuid_of(0), "1"));
  auto source = another();
  select(*source, everything_from(std::uint64_t{1} << 32));
  const Window window = next_window(*source);
  EXPECT_TRUE(window.readings.empty());
  EXPECT_TRUE(window.end.finished);
  EXPECT_EQ(window.end.shards, kAllShards);
  EXPECT_TRUE(next_window(*source).ended);
}

TEST_F(SharedCsvSourceTest, WhatWasReadAndNotHandedOutIsReadAgain) {
  std::string text(kHeader);
  for (int i = 0; i < 20; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(i), "1");
  write(text);
  auto source = another();
  select(*source, everything_from(0), 20);
  TelemetryBatch batch;
  ASSERT_EQ(*source->next(batch, 5, {}), SourceState::kBatch);
  select(*source, everything_from(0), 20);
  EXPECT_THAT(next_window(*source, 5).readings, SizeIs(20));
}

TEST_F(SharedCsvSourceTest, AnotherSizeOfWindowHoldsFromTheNextWindowOn) {
  std::string text(kHeader);
  for (int i = 0; i < 20; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(i), "1");
  write(text);
  auto source = another();
  select(*source, everything_from(0), 8);
  EXPECT_THAT(next_window(*source).readings, SizeIs(8));
  source->shareable()->set_window(3);
  EXPECT_THAT(next_window(*source).readings, SizeIs(3));
  source->shareable()->set_window(50);
  EXPECT_THAT(next_window(*source).readings, SizeIs(9));
}

TEST_F(SharedCsvSourceTest, IsNamedByItsContentAndHowItIsRead) {
  const std::string text = awkward_text(1, 3000);
  write(text);
  const std::string name = *another()->shareable()->shared_name();
  EXPECT_LE(name.size(), 200U);
  EXPECT_EQ(*another()->shareable()->shared_name(), name);
  write(text + row(0, "DCGM_FI_DEV_GPU_UTIL", kFirst, "1"));
  EXPECT_EQ(*another()->shareable()->shared_name(), name) << "it has grown behind its beginning";
  options_.timestamp_mode = TimestampMode::kNow;
  EXPECT_NE(*another()->shareable()->shared_name(), name);
  options_.timestamp_mode = TimestampMode::kSource;
  options_.loop = true;
  EXPECT_NE(*another()->shareable()->shared_name(), name);
  options_.loop = false;
  write(awkward_text(2, 3000));
  EXPECT_NE(*another()->shareable()->shared_name(), name);
}

TEST_F(SharedCsvSourceTest, AStreamCannotBeShared) {
  options_.path = "a pipe";
  const auto source = open_csv_source(options_, [] { return csv::memory_input(kHeader); }, true);
  ASSERT_TRUE(source);
  EXPECT_EQ((*source)->shareable(), nullptr);
}

TEST_F(SharedCsvSourceTest, SettlesWhenTheClockIsPastItsStamps) {
  options_.timestamp_mode = TimestampMode::kNow;
  std::string text(kHeader);
  for (int i = 0; i < 40; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(0), "1");
  write(text);
  auto source = another();
  select(*source, everything_from(0));
  const Window window = next_window(*source);
  const Timestamp last = window.scrapes.back().second;
  ASSERT_EQ(last, clock_.now() + Milliseconds{39});
  EXPECT_EQ(source->shareable()->until_settled(), Milliseconds{40});
  clock_.advance(std::chrono::milliseconds{40});
  EXPECT_EQ(source->shareable()->until_settled(), Milliseconds{0});
  EXPECT_GT(clock_.now(), last);
}

TEST_F(SharedCsvSourceTest, SaysWhereLinesAreCountedFromAfterASeek) {
  std::string text(kHeader);
  for (int i = 0; i < 6; ++i) text += row(i, "DCGM_FI_DEV_GPU_UTIL", uuid_of(i), "1");
  const std::size_t middle = text.size();
  text += "torn\n" + row(7, "DCGM_FI_DEV_GPU_UTIL", uuid_of(7), "1");
  write(text);
  auto source = another();
  select(*source, everything_from(middle));
  testing::internal::CaptureStderr();
  EXPECT_THAT(next_window(*source).readings, SizeIs(1));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(std::to_string(middle)));
  EXPECT_EQ(source->counters().rows_malformed, 1U);
}

TEST(CsvPositionsTest, LeaveRoomForMorePassesTheSmallerTheFile) {
  using csv::CsvPositions;
  EXPECT_EQ(CsvPositions::for_text_of(4'000'000'000).pass_limit(), 0xffff'ffffU);
  EXPECT_EQ(CsvPositions::for_text_of(std::uint64_t{1} << 33).pass_limit(), 0xff'ffffU);
  EXPECT_EQ(CsvPositions::for_text_of(UINT64_MAX).pass_limit(), 0xffffU);
  const CsvPositions positions = CsvPositions::for_text_of(1000);
  const std::uint64_t position = positions.at(12'345, 678'910);
  EXPECT_EQ(positions.pass_of(position), 12'345U);
  EXPECT_EQ(positions.offset_of(position), 678'910U);
  EXPECT_LT(positions.at(1, UINT32_MAX), positions.at(2, 0));
}

}  // namespace
}  // namespace gpu_telemetry::sources
