// Streamers that share a file come, go, die and freeze; every row is published once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "services/pipeline_test_support.h"
#include "services/streamer/streamer.h"
#include "services/streamer/tampered_queue.h"
#include "sources/csv/csv_source.h"
#include "sources/simulator/simulator.h"

namespace gpu_telemetry::services {
namespace {

using sources::TimestampMode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::RunningContext;
using testing::TamperedQueue;

constexpr seconds kLease{15};

// A reading as it is published, without its time: GPU, metric, value.
using Row = std::tuple<GpuUuid, std::string, double>;

std::string uuid_of(int gpu) {
  return "GPU-5fd4f087-86f3-7a43-b711-477131300" + std::to_string(100 + gpu);
}

// Values are unique.
std::string capture(int rows, int gpus) {
  std::string text = "timestamp,metric_name,uuid,value,Hostname\n";
  for (int i = 0; i < rows; ++i) {
    text += "2025-07-18T20:" + std::to_string(10 + i / 400 % 50) + ":" +
            std::to_string(10 + i / 100 % 4) + "Z,metric_" + std::to_string(i / gpus % 10) + "," +
            uuid_of(i * 7 % gpus) + "," + std::to_string(i) + ",\"no\nde\"\n";
  }
  return text;
}

class SharedStreamerTest : public ::testing::Test {
 protected:
  // One process: its own connection to the queue, and its own view of the file.
  struct Process {
    std::unique_ptr<TamperedQueue> queue;
    observability::Metrics metrics;
    std::promise<Result<void>> ended;
    std::future<Result<void>> end;
    std::unique_ptr<Streamer> streamer;

    std::uint64_t samples() const {
      return streamer ? streamer->counts().samples_published : last_samples;
    }
    std::uint64_t last_samples = 0;  // when it ended
  };

  ~SharedStreamerTest() override {
    for (auto& process : processes_) kill(*process);
    std::filesystem::remove(path_);
  }

  void make_queue(std::uint64_t max_messages = 1'000'000) {
    queue::QueueOptions options;
    options.max_messages_per_topic = max_messages;
    memory_ = queue::make_memory_queue(options, clock_, context_.executor());
  }
  void write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }

  std::unique_ptr<sources::Source> open_file() {
    sources::CsvSourceOptions options;
    options.path = path_;
    options.timestamp_mode = mode_;
    options.loop = loop_;
    auto source = sources::open_csv_source(options);
    EXPECT_TRUE(source) << source.error();
    return std::move(*source);
  }
  Process& start() { return start(open_file()); }
  Process& start(std::unique_ptr<sources::Source> source) {
    auto process = std::make_unique<Process>();
    process->queue = std::make_unique<TamperedQueue>(*memory_, context_.executor());
    process->end = process->ended.get_future();
    StreamerOptions options;
    options.batch_rows = batch_rows_;
    options.interval = interval_;
    options.shard_lease = kLease;
    options.shard_renewal = milliseconds{1};
    options.member = "member-" + std::to_string(processes_.size());
    process->streamer =
        std::make_unique<Streamer>(options, std::move(source), *process->queue, wire::batch_codec(),
                                   process->metrics, context_.executor());
    Process* const started = process.get();
    processes_.push_back(std::move(process));
    started->streamer->start(
        [started](Result<void> ended) { started->ended.set_value(std::move(ended)); });
    return *started;
  }
  // As SIGTERM does.
  static void terminate(Process& process, milliseconds grace = seconds{10}) {
    process.streamer->stop(grace);
    process.last_samples = process.samples();
    process.streamer.reset();
  }
  // As SIGKILL does: nothing of it reaches the queue any more, and it gives nothing back.
  static void kill(Process& process) {
    process.queue->cut();
    process.last_samples = process.samples();
    process.streamer.reset();
  }

  template <class Condition>
  void wait_until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + seconds{60};
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      std::this_thread::sleep_for(milliseconds{1});
    }
  }
  // Lets the leases of processes that are not heard of end, and of no others.
  void outlast_leases() {
    for (int step = 0; step < 5; ++step) {
      clock_.advance(kLease / 4);
      for (auto& process : processes_) {
        if (!process->streamer || process->queue->is_held()) continue;
        const std::uint64_t renewals = process->queue->renewals();
        wait_until([&] { return process->queue->renewals() >= renewals + 2; });
      }
    }
  }

  // Takes what is in the queue.
  void consume() {
    while (true) {
      queue::FetchRequest request{"telemetry", "collectors", "test", 1000, milliseconds{0}};
      const auto fetched = context_.await(memory_->fetch(std::move(request)));
      ASSERT_TRUE(fetched) << fetched.error();
      if (fetched->empty()) return;
      queue::SettleRequest settle;
      settle.topic = "telemetry";
      settle.group = "collectors";
      for (const auto& each : *fetched) {
        settle.receipts_or_ids.push_back(each.receipt);
        note(*each.payload);
      }
      ASSERT_TRUE(context_.await(memory_->ack(std::move(settle))));
    }
  }
  void note(const std::string& payload) {
    TelemetryBatch batch;
    ASSERT_TRUE(wire::batch_codec().decode(payload, batch));
    for (const Scrape& scrape : batch.scrapes) {
      for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
        const Sample& sample = batch.samples[scrape.first_sample + i];
        const GpuUuid& gpu = batch.gpus[scrape.gpu]->uuid;
        ++published_[{gpu, batch.metrics[sample.metric], sample.value}];
        ++keys_[{gpu, scrape.timestamp, batch.metrics[sample.metric]}];
      }
    }
  }
  void expect_every_row_once(std::size_t rows) {
    consume();
    std::size_t once = 0;
    for (const auto& [row, count] : published_) {
      EXPECT_EQ(count, 1) << std::get<0>(row).to_string() << " " << std::get<2>(row);
      once += count == 1 ? 1 : 0;
    }
    EXPECT_EQ(once, rows);
  }
  static void expect_end(Process& process) {
    ASSERT_EQ(process.end.wait_for(seconds{60}), std::future_status::ready);
    const Result<void> ended = process.end.get();
    EXPECT_TRUE(ended) << ended.error();
  }

  const std::string path_ = std::filesystem::temp_directory_path() /
                            ("shared_streamer_test." + std::to_string(::getpid()));
  TimestampMode mode_ = TimestampMode::kSource;
  bool loop_ = false;
  std::size_t batch_rows_ = 50;
  milliseconds interval_{0};
  ManualClock clock_{*parse_rfc3339("2025-08-01T00:00:00Z")};
  RunningContext context_;
  std::unique_ptr<queue::MessageQueue> memory_;
  std::map<Row, int> published_;
  std::map<std::tuple<GpuUuid, Timestamp, std::string>, int> keys_;
  std::vector<std::unique_ptr<Process>> processes_;
};

TEST_F(SharedStreamerTest, OneAlonePublishesEveryRowOnceAndEnds) {
  write(capture(5000, 40));
  make_queue();
  Process& process = start();
  expect_end(process);
  expect_every_row_once(5000);
  EXPECT_EQ(process.samples(), 5000U);
  EXPECT_THAT(process.metrics.render(), ::testing::HasSubstr("gpu_telemetry_shards_held 64\n"));
}

TEST_F(SharedStreamerTest, SeveralPublishEveryRowOnceAndAllEndTogether) {
  for (const TimestampMode mode : {TimestampMode::kSource, TimestampMode::kNow}) {
    mode_ = mode;
    published_.clear();
    write(capture(20'000, 60));
    make_queue();
    std::vector<Process*> started;
    for (int i = 0; i < 4; ++i) started.push_back(&start());
    for (Process* each : started) expect_end(*each);
    expect_every_row_once(20'000);
    for (auto& process : processes_) kill(*process);
    processes_.clear();
  }
}

// A full queue keeps the first one in the middle of the file.
TEST_F(SharedStreamerTest, OneThatJoinsGetsAPartOfTheRest) {
  write(capture(5000, 60));
  make_queue(10);
  interval_ = milliseconds{1};
  Process& first = start();
  wait_until([&] { return first.samples() >= 400; });
  Process& second = start();
  while (first.end.wait_for(milliseconds{0}) != std::future_status::ready ||
         second.end.wait_for(milliseconds{0}) != std::future_status::ready) {
    consume();
  }
  expect_every_row_once(5000);
  EXPECT_GT(second.samples(), 1000U);
}

TEST_F(SharedStreamerTest, WhatATerminatedOneGaveBackIsGoneOnWithAtOnce) {
  mode_ = TimestampMode::kNow;
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& first = start();
  wait_until([&] { return first.samples() >= 1000; });
  terminate(first);
  consume();
  Process& second = start();
  while (second.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  expect_every_row_once(5000);
  EXPECT_EQ(first.samples() + second.samples(), 5000U);
  for (const auto& [key, count] : keys_) {
    EXPECT_EQ(count, 1) << "two readings at " << format_rfc3339(std::get<1>(key));
  }
}

TEST_F(SharedStreamerTest, OneThatIsTerminatedWhileItRenewsGivesBackAllTheSame) {
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& first = start();
  wait_until([&] { return first.samples() >= 1000; });
  first.queue->delay_shards(milliseconds{50});  // it is asking nearly always
  const std::uint64_t renewals = first.queue->renewals();
  wait_until([&] { return first.queue->renewals() > renewals; });
  terminate(first);
  Process& second = start();
  wait_until([&] {
    consume();
    return second.end.wait_for(milliseconds{0}) == std::future_status::ready;
  });
  expect_every_row_once(5000);
}

TEST_F(SharedStreamerTest, OneThatIsTerminatedDoesNotWaitForAQueueThatNeverAnswers) {
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& first = start();
  wait_until([&] { return first.samples() >= 1000; });
  const std::uint64_t publishes = first.queue->publishes();
  first.queue->hold(true);
  consume();
  wait_until([&] { return first.queue->publishes() > publishes; });
  terminate(first, milliseconds{10});
  Process& second = start();
  outlast_leases();
  while (second.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  expect_every_row_once(5000);
}

TEST_F(SharedStreamerTest, WhatWasAcceptedAndNeverAnsweredIsNotPublishedAgainByAnother) {
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& first = start();
  wait_until([&] { return first.samples() >= 1000; });
  first.queue->hold_answers(true);
  wait_until([&] {
    consume();
    return first.queue->unanswered() > 0;
  });
  terminate(first, milliseconds{10});
  Process& second = start();
  outlast_leases();
  while (second.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  expect_every_row_once(5000);
  EXPECT_LT(first.samples() + second.samples(), 5000U);  // some were accepted and not counted
}

TEST_F(SharedStreamerTest, TheShardsOfOneThatDiedAreTakenOverWhenItsLeaseEnds) {
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& first = start();
  Process& second = start();
  wait_until([&] { return first.samples() > 0 && second.samples() > 0; });
  kill(first);
  outlast_leases();
  while (second.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  expect_every_row_once(5000);
}

TEST_F(SharedStreamerTest, OneThatIsStartedAgainGoesOnWhereItsForerunnerDied) {
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& first = start();
  wait_until([&] { return first.samples() > 0; });
  kill(first);
  consume();
  Process& second = start();
  outlast_leases();
  while (second.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  expect_every_row_once(5000);
  EXPECT_LT(second.samples(), 5000U);
}

TEST_F(SharedStreamerTest, OneThatWasFrozenPastItsLeasePublishesNothingTwice) {
  write(capture(5000, 60));
  make_queue(30);
  interval_ = milliseconds{1};
  Process& frozen = start();
  wait_until([&] { return frozen.samples() > 0; });
  frozen.queue->hold(true);
  consume();
  Process& other = start();
  outlast_leases();
  while (other.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  frozen.queue->hold(false);
  expect_end(frozen);
  expect_every_row_once(5000);
  EXPECT_GT(frozen.queue->conflicts(), 0U);
  EXPECT_THAT(frozen.metrics.render(),
              ::testing::ContainsRegex("gpu_telemetry_shard_leases_lost_total 64\n"));
}

TEST_F(SharedStreamerTest, APublishWhoseAnswerWasLostIsNotDoubled) {
  write(capture(5000, 60));
  make_queue();
  interval_ = milliseconds{1};
  Process& process = start();
  process.queue->lose_answers(2);
  expect_end(process);
  expect_every_row_once(5000);
}

TEST_F(SharedStreamerTest, AQueueWithRoomForThreeMessagesIsEnough) {
  write(capture(2000, 60));
  make_queue(3);
  Process& process = start();
  while (process.end.wait_for(milliseconds{0}) != std::future_status::ready) consume();
  expect_every_row_once(2000);
}

TEST_F(SharedStreamerTest, OneThatComesWhenAllIsReadReadsNothingAndEnds) {
  write(capture(500, 60));
  make_queue();
  expect_end(start());
  expect_end(start());
  expect_every_row_once(500);
}

TEST_F(SharedStreamerTest, ALaterRunBeginsAnewWhenAllHaveLeft) {
  write(capture(500, 60));
  make_queue();
  Process& first = start();
  expect_end(first);
  terminate(first);
  Process& second = start();
  expect_end(second);
  EXPECT_EQ(second.samples(), 500U);
}

TEST_F(SharedStreamerTest, ALoopPublishesEachGpusRowsInTurn) {
  loop_ = true;
  write(capture(300, 30));
  make_queue(20);
  interval_ = milliseconds{1};
  batch_rows_ = 20;
  Process& first = start();
  start();
  while (published_.size() < 300 || published_.begin()->second < 5) consume();
  terminate(first);
  outlast_leases();
  Process& third = start();
  const int so_far = published_.begin()->second;
  while (published_.begin()->second < so_far + 5) consume();
  for (auto& process : processes_) {
    if (process->streamer) terminate(*process);
  }
  EXPECT_GT(third.samples(), 0U);
  consume();
  // Of each GPU an earlier row of the file was published as often as a later one, or once more.
  std::map<GpuUuid, std::map<double, int>> gpus;
  for (const auto& [row, count] : published_) gpus[std::get<0>(row)][std::get<2>(row)] = count;
  ASSERT_EQ(gpus.size(), 30U);
  for (const auto& [gpu, rows] : gpus) {
    ASSERT_EQ(rows.size(), 10U);
    int before = rows.begin()->second;
    for (const auto& [value, count] : rows) {
      EXPECT_LE(count, before);
      before = count;
    }
    EXPECT_LE(rows.begin()->second - before, 1);
  }
}

TEST_F(SharedStreamerTest, ASourceThatCannotBeReadEndsAndGivesItsShardsBack) {
  write(capture(500, 60));
  make_queue();
  auto source = open_file();
  write("no header\n");
  Process& process = start(std::move(source));
  ASSERT_EQ(process.end.wait_for(seconds{60}), std::future_status::ready);
  EXPECT_FALSE(process.end.get());
  write(capture(500, 60));
  expect_end(start());
  expect_every_row_once(500);
}

TEST_F(SharedStreamerTest, ASimulatedFleetIsScrapedByAllTogether) {
  make_queue();
  batch_rows_ = 1000;
  sources::SimulatorOptions fleet;
  fleet.gpus = 200;
  fleet.events = false;
  fleet.interval = milliseconds{20};
  std::vector<Process*> started;
  for (int i = 0; i < 3; ++i) {
    started.push_back(&start(*sources::make_simulator_source(fleet, system_clock())));
  }
  wait_until([&] {
    return std::ranges::all_of(started, [](Process* each) { return each->samples() > 1500; });
  });
  for (Process* each : started) terminate(*each);
  consume();
  std::set<GpuUuid> gpus;
  for (const auto& [key, count] : keys_) {
    EXPECT_EQ(count, 1);
    gpus.insert(std::get<0>(key));
  }
  EXPECT_EQ(gpus.size(), 200U);
}

// Anything may happen to any of them at any moment.
class SharedStreamerChaos : public SharedStreamerTest,
                            public ::testing::WithParamInterface<unsigned> {
 protected:
  void happen(std::mt19937& random) {
    std::vector<Process*> alive;
    for (auto& each : processes_) {
      if (each->streamer) alive.push_back(each.get());
    }
    Process* const victim = alive.empty() ? nullptr : alive[random() % alive.size()];
    switch (random() % 8) {
      case 0:
      case 1:
        if (alive.size() < 5) start();
        break;
      case 2:
        if (victim != nullptr && !victim->queue->is_held()) terminate(*victim);
        break;
      case 3:
        if (victim != nullptr) kill(*victim);
        break;
      case 4:
        if (victim != nullptr) victim->queue->hold(!victim->queue->is_held());
        break;
      case 5:
        if (victim != nullptr)
          victim->queue->lose_answers(random() % 2 == 0 ? 0 : 2 + random() % 3);
        break;
      case 6:
        outlast_leases();
        break;
      default:
        clock_.advance(seconds{random() % 20});
    }
  }
};

TEST_P(SharedStreamerChaos, EveryRowIsPublishedOnce) {
  std::mt19937 random(GetParam());
  mode_ = random() % 2 == 0 ? TimestampMode::kNow : TimestampMode::kSource;
  constexpr int kRows = 12'000;
  write(capture(kRows, 60));
  batch_rows_ = 20 + random() % 100;
  make_queue(30);
  interval_ = milliseconds{random() % 3};
  start();
  while (published_.size() < kRows) {
    happen(random);
    for (int i = 0; i < 3; ++i) consume();
    if (HasFatalFailure()) return;
  }
  expect_every_row_once(kRows);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SharedStreamerChaos, ::testing::Range(1U, 9U));

}  // namespace
}  // namespace gpu_telemetry::services
