// What every TelemetryRepository promises, as tests. An implementation instantiates them:
//
//   INSTANTIATE_TEST_SUITE_P(Embedded, TelemetryRepositoryContract,
//                            testing::Values(TelemetryRepositoryFactory{...}));
//
// Times lie within the last hours, so that a retention of a day or more touches nothing.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "domain/clock.h"
#include "storage/batch_builder.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::storage {

// An empty repository and what it stands on.
class TelemetryRepositoryHarness {
 public:
  virtual ~TelemetryRepositoryHarness() = default;
  virtual TelemetryRepository& repository() = 0;
  // Closes the repository and opens it again on the same data, as a restart would.
  virtual void reopen() = 0;
  // Moves what is in memory to where it ends up in time, where there is such a thing.
  virtual void settle() {}
};

struct TelemetryRepositoryFactory {
  std::string name;
  std::function<std::unique_ptr<TelemetryRepositoryHarness>()> create;
  friend std::ostream& operator<<(std::ostream& out, const TelemetryRepositoryFactory& factory) {
    return out << factory.name;
  }
};

class TelemetryRepositoryContract : public testing::TestWithParam<TelemetryRepositoryFactory> {
 protected:
  using Row = std::tuple<std::int64_t, std::string, double>;  // ms after the base, metric, value

  TelemetryRepositoryContract() : harness_(GetParam().create()) {
    const auto now = unix_milliseconds(system_clock().now());
    base_ = from_unix_milliseconds((now - 3 * 3'600'000) / 60'000 * 60'000);
  }

  TelemetryRepository& repository() { return harness_->repository(); }
  Timestamp at(std::int64_t ms) const { return base_ + Milliseconds{ms}; }

  void write(const TelemetryBatch& batch) {
    const BatchToWrite to_write{&batch, {}};
    const auto written = repository().write({&to_write, 1});
    ASSERT_TRUE(written) << written.error();
  }

  std::vector<Row> ask(const SampleQuery& query) {
    std::vector<Row> rows;
    auto cursor = repository().query(query);
    EXPECT_TRUE(cursor);
    if (!cursor) return rows;
    const auto names = (*cursor)->metric_names();
    EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
    while (true) {
      const auto block = (*cursor)->next();
      EXPECT_TRUE(block) << block.error();
      if (!block || block->empty()) return rows;
      for (const StoredSample& sample : *block) {
        rows.emplace_back((sample.timestamp - base_).count(), names[sample.metric], sample.value);
      }
    }
  }

  std::vector<Row> everything(const GpuUuid& gpu, Order order = Order::kOldestFirst) {
    SampleQuery query;
    query.gpu = gpu;
    query.order = order;
    return ask(query);
  }

  // Runs the check on what was just written, after it has settled, and after a restart.
  void in_every_state(const std::function<void()>& check) {
    {
      SCOPED_TRACE("just written");
      check();
    }
    harness_->settle();
    {
      SCOPED_TRACE("settled");
      check();
    }
    harness_->reopen();
    {
      SCOPED_TRACE("reopened");
      check();
    }
  }

  std::unique_ptr<TelemetryRepositoryHarness> harness_;
  Timestamp base_;
  const GpuUuid gpu_ = numbered_gpu(1);
  const GpuUuid other_ = numbered_gpu(2);
};

TEST_P(TelemetryRepositoryContract, AnUnknownGpuHasNoSamples) {
  EXPECT_TRUE(everything(gpu_).empty());
  EXPECT_TRUE(repository().latest(gpu_)->empty());
  EXPECT_TRUE(repository().metrics_of(gpu_)->empty());
  AggregateQuery query{"a", {gpu_}, at(0), at(1000)};
  EXPECT_TRUE(repository().aggregate(query)->empty());
  EXPECT_TRUE(repository().check_health());
}

TEST_P(TelemetryRepositoryContract, SamplesComeBackNewestFirstWithTiesByMetricName) {
  write(BatchBuilder()
            .scrape(gpu_, at(0), {{"b", 1.5}, {"a", -2}})
            .scrape(other_, at(0), {{"a", 99}})
            .scrape(gpu_, at(10'000), {{"c", 3}, {"a", 4}, {"b", 5}})
            .batch());
  in_every_state([&] {
    EXPECT_EQ(
        everything(gpu_, Order::kNewestFirst),
        (std::vector<Row>{
            {10'000, "a", 4}, {10'000, "b", 5}, {10'000, "c", 3}, {0, "a", -2}, {0, "b", 1.5}}));
    EXPECT_EQ(
        everything(gpu_, Order::kOldestFirst),
        (std::vector<Row>{
            {0, "a", -2}, {0, "b", 1.5}, {10'000, "a", 4}, {10'000, "b", 5}, {10'000, "c", 3}}));
    EXPECT_EQ(everything(other_), (std::vector<Row>{{0, "a", 99}}));
  });
}

TEST_P(TelemetryRepositoryContract, ValuesComeBackBitForBit) {
  const std::vector<double> values{0.1,
                                   -0.0,
                                   1e300,
                                   -1e-300,
                                   9007199254740993.0,
                                   std::numeric_limits<double>::max(),
                                   std::numeric_limits<double>::denorm_min(),
                                   70.123456789012345,
                                   1234567.25};
  for (std::size_t i = 0; i < values.size(); ++i) {
    write(
        BatchBuilder().scrape(gpu_, at(static_cast<std::int64_t>(i)), {{"v", values[i]}}).batch());
  }
  in_every_state([&] {
    const auto rows = everything(gpu_);
    ASSERT_EQ(rows.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(std::get<2>(rows[i]), values[i]);
      EXPECT_EQ(std::signbit(std::get<2>(rows[i])), std::signbit(values[i]));
    }
  });
}

TEST_P(TelemetryRepositoryContract, WritingTheSameAgainChangesNothing) {
  const auto batch = BatchBuilder()
                         .scrape(gpu_, at(0), {{"a", 1}, {"b", 2}})
                         .scrape(gpu_, at(1000), {{"a", 3}, {"b", 4}})
                         .batch();
  write(batch);
  write(batch);
  harness_->settle();
  write(batch);
  in_every_state([&] {
    EXPECT_EQ(everything(gpu_),
              (std::vector<Row>{{0, "a", 1}, {0, "b", 2}, {1000, "a", 3}, {1000, "b", 4}}));
  });
}

TEST_P(TelemetryRepositoryContract, PartialScrapesOfOneTimeMerge) {
  write(BatchBuilder().scrape(gpu_, at(0), {{"b", 2}}).batch());
  write(BatchBuilder().scrape(gpu_, at(0), {{"a", 1}}).scrape(gpu_, at(0), {{"c", 3}}).batch());
  in_every_state([&] {
    EXPECT_EQ(everything(gpu_), (std::vector<Row>{{0, "a", 1}, {0, "b", 2}, {0, "c", 3}}));
  });
}

TEST_P(TelemetryRepositoryContract, OfTwoValuesTheOneWrittenLastWins) {
  for (int round = 0; round < 3; ++round) {
    write(BatchBuilder()
              .scrape(gpu_, at(0), {{"a", 10.0 * round}})
              .scrape(gpu_, at(1000), {{"a", 10.0 * round + 1}})
              .batch());
    if (round == 1) harness_->settle();
  }
  write(BatchBuilder().scrape(gpu_, at(0), {{"a", 7}}).batch());
  in_every_state(
      [&] { EXPECT_EQ(everything(gpu_), (std::vector<Row>{{0, "a", 7}, {1000, "a", 21}})); });
}

TEST_P(TelemetryRepositoryContract, ScrapesMayComeInAnyOrder) {
  for (const std::int64_t ms : {5000, 1000, 9000, 3000, 2000, 8000, 0, 7000, 4000, 6000}) {
    write(BatchBuilder().scrape(gpu_, at(ms), {{"a", static_cast<double>(ms)}}).batch());
    if (ms == 3000) harness_->settle();
  }
  in_every_state([&] {
    std::vector<Row> expected;
    for (std::int64_t ms = 0; ms < 10'000; ms += 1000) {
      expected.emplace_back(ms, "a", static_cast<double>(ms));
    }
    EXPECT_EQ(everything(gpu_), expected);
  });
}

TEST_P(TelemetryRepositoryContract, RangesAreInclusiveAtBothEnds) {
  for (std::int64_t ms = 0; ms < 5; ++ms) {
    write(BatchBuilder().scrape(gpu_, at(ms), {{"a", static_cast<double>(ms)}}).batch());
  }
  in_every_state([&] {
    SampleQuery query;
    query.gpu = gpu_;
    query.order = Order::kOldestFirst;
    query.start = at(1);
    query.end = at(3);
    EXPECT_EQ(ask(query), (std::vector<Row>{{1, "a", 1}, {2, "a", 2}, {3, "a", 3}}));
    query.start = query.end = at(2);
    EXPECT_EQ(ask(query), (std::vector<Row>{{2, "a", 2}}));
    query.start = at(3);
    query.end = at(1);
    EXPECT_TRUE(ask(query).empty());
  });
}

TEST_P(TelemetryRepositoryContract, OnlyTheMetricsAskedForAreAnswered) {
  write(BatchBuilder()
            .scrape(gpu_, at(0), {{"a", 1}, {"b", 2}, {"c", 3}})
            .scrape(gpu_, at(1), {{"a", 4}, {"c", 5}})
            .batch());
  in_every_state([&] {
    SampleQuery query;
    query.gpu = gpu_;
    query.metrics = {"c", "b", "unheard_of"};
    EXPECT_EQ(ask(query), (std::vector<Row>{{1, "c", 5}, {0, "b", 2}, {0, "c", 3}}));
    query.metrics = {"unheard_of"};
    EXPECT_TRUE(ask(query).empty());
  });
}

TEST_P(TelemetryRepositoryContract, PagesJoinToTheWholeAnswer) {
  BatchBuilder builder;
  for (std::int64_t i = 0; i < 50; ++i) {
    builder.scrape(gpu_, at(i * 10'000),
                   {{"a", static_cast<double>(i)}, {"b", 0.5}, {"c", static_cast<double>(-i)}});
  }
  write(builder.batch());
  in_every_state([&] {
    for (const Order order : {Order::kNewestFirst, Order::kOldestFirst}) {
      const auto whole = everything(gpu_, order);
      ASSERT_EQ(whole.size(), 150u);
      SampleQuery query;
      query.gpu = gpu_;
      query.order = order;
      query.limit = 7;
      std::vector<Row> joined;
      while (true) {
        const auto page = ask(query);
        ASSERT_LE(page.size(), 7u);
        joined.insert(joined.end(), page.begin(), page.end());
        if (page.size() < 7) break;
        query.after = SampleKey{at(std::get<0>(page.back())), std::get<1>(page.back())};
      }
      EXPECT_EQ(joined, whole);
    }
  });
}

TEST_P(TelemetryRepositoryContract, ALongAnswerComesInBlocksAndInOrder) {
  constexpr std::int64_t kScrapes = 20'000;
  for (std::int64_t begin = 0; begin < kScrapes; begin += 1000) {
    BatchBuilder builder;
    for (std::int64_t i = begin; i < begin + 1000; ++i) {
      builder.scrape(gpu_, at(i * 500), {{"a", static_cast<double>(i)}, {"b", 1}});
    }
    write(builder.batch());
  }
  in_every_state([&] {
    const auto rows = everything(gpu_, Order::kNewestFirst);
    ASSERT_EQ(rows.size(), static_cast<std::size_t>(2 * kScrapes));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::int64_t scrape = kScrapes - 1 - static_cast<std::int64_t>(i / 2);
      ASSERT_EQ(rows[i], i % 2 == 0 ? Row(scrape * 500, "a", static_cast<double>(scrape))
                                    : Row(scrape * 500, "b", 1.0));
    }
  });
}

TEST_P(TelemetryRepositoryContract, ACursorShowsTheStoreAsItWasWhenItWasMade) {
  write(BatchBuilder().scrape(gpu_, at(0), {{"a", 1}}).batch());
  SampleQuery query;
  query.gpu = gpu_;
  query.order = Order::kOldestFirst;
  auto cursor = repository().query(query);
  ASSERT_TRUE(cursor);
  const auto first = (*cursor)->next();
  ASSERT_TRUE(first);
  ASSERT_EQ(first->size(), 1u);
  EXPECT_EQ(first->front().value, 1);
}

TEST_P(TelemetryRepositoryContract, AggregatesFillBucketsAlignedToTheEpoch) {
  // One reading each 10 s for 5 minutes.
  for (std::int64_t i = 0; i < 30; ++i) {
    write(BatchBuilder()
              .scrape(gpu_, at(i * 10'000), {{"a", static_cast<double>(i)}, {"b", -1}})
              .scrape(other_, at(i * 10'000), {{"b", 5}})
              .batch());
    if (i == 17) harness_->settle();
  }
  in_every_state([&] {
    AggregateQuery query{"a", {other_, gpu_}, at(10'000), at(240'000)};
    const auto answer = repository().aggregate(query);
    ASSERT_TRUE(answer) << answer.error();
    ASSERT_EQ(answer->size(), 1u);  // the other GPU has no such metric
    EXPECT_EQ(answer->front().gpu, gpu_);
    const auto& buckets = answer->front().buckets;
    ASSERT_EQ(buckets.size(), 5u);
    EXPECT_EQ(buckets[0].start, at(0));
    EXPECT_EQ(buckets[0].count, 5u);  // the range begins 10 s into it
    EXPECT_EQ(buckets[0].sum, 1 + 2 + 3 + 4 + 5);
    EXPECT_EQ(buckets[0].min, 1);
    EXPECT_EQ(buckets[0].max, 5);
    EXPECT_EQ(buckets[0].last, 5);
    EXPECT_EQ(buckets[2].start, at(120'000));
    EXPECT_EQ(buckets[2].count, 6u);
    EXPECT_EQ(buckets[2].sum, 12 + 13 + 14 + 15 + 16 + 17);
    EXPECT_EQ(buckets[4].count, 1u);
    EXPECT_EQ(buckets[4].last, 24);
  });
}

TEST_P(TelemetryRepositoryContract, AggregatesCountAnOverwrittenSampleOnce) {
  write(BatchBuilder().scrape(gpu_, at(0), {{"a", 1}}).scrape(gpu_, at(1000), {{"a", 2}}).batch());
  harness_->settle();
  write(BatchBuilder().scrape(gpu_, at(0), {{"a", 10}}).batch());
  in_every_state([&] {
    const auto answer = repository().aggregate({"a", {gpu_}, at(0), at(59'999)});
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->size(), 1u);
    ASSERT_EQ(answer->front().buckets.size(), 1u);
    EXPECT_EQ(answer->front().buckets[0].count, 2u);
    EXPECT_EQ(answer->front().buckets[0].sum, 12);
    EXPECT_EQ(answer->front().buckets[0].min, 2);
    EXPECT_EQ(answer->front().buckets[0].last, 2);
  });
}

TEST_P(TelemetryRepositoryContract, AnAggregateOfTooManyBucketsIsInvalid) {
  AggregateQuery query{"a", {gpu_}, at(0), at(11'001'000), Milliseconds{1000}};
  const auto answer = repository().aggregate(query);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kInvalid);
  query.step = Milliseconds{0};
  EXPECT_EQ(repository().aggregate(query).error().code, ErrorCode::kInvalid);
}

TEST_P(TelemetryRepositoryContract, TheLatestSampleOfEachMetricIsFound) {
  write(BatchBuilder().scrape(gpu_, at(0), {{"b", 1}, {"a", 2}, {"gone", 3}}).batch());
  harness_->settle();
  write(BatchBuilder()
            .scrape(gpu_, at(20'000), {{"a", 4}})
            .scrape(gpu_, at(10'000), {{"a", 5}, {"b", 6}})
            .scrape(gpu_, at(0), {{"gone", 7}})
            .batch());
  in_every_state([&] {
    const auto latest = repository().latest(gpu_);
    ASSERT_TRUE(latest);
    ASSERT_EQ(latest->size(), 3u);
    EXPECT_EQ((*latest)[0].metric, "a");
    EXPECT_EQ((*latest)[0].timestamp, at(20'000));
    EXPECT_EQ((*latest)[0].value, 4);
    EXPECT_EQ((*latest)[1].metric, "b");
    EXPECT_EQ((*latest)[1].value, 6);
    EXPECT_EQ((*latest)[2].metric, "gone");
    EXPECT_EQ((*latest)[2].timestamp, at(0));
    EXPECT_EQ((*latest)[2].value, 7);
  });
}

TEST_P(TelemetryRepositoryContract, MetricsOfAGpuAreListedWithTheirTimes) {
  write(BatchBuilder().scrape(gpu_, at(5000), {{"b", 1}, {"a", 2}}).batch());
  harness_->settle();
  write(
      BatchBuilder().scrape(gpu_, at(1000), {{"a", 4}}).scrape(gpu_, at(9000), {{"b", 4}}).batch());
  in_every_state([&] {
    const auto metrics = repository().metrics_of(gpu_);
    ASSERT_TRUE(metrics);
    ASSERT_EQ(metrics->size(), 2u);
    EXPECT_EQ((*metrics)[0].metric, "a");
    EXPECT_EQ((*metrics)[0].first, at(1000));
    EXPECT_EQ((*metrics)[0].last, at(5000));
    EXPECT_EQ((*metrics)[1].metric, "b");
    EXPECT_EQ((*metrics)[1].first, at(5000));
    EXPECT_EQ((*metrics)[1].last, at(9000));
  });
}

TEST_P(TelemetryRepositoryContract, ABatchWhoseInvariantsDoNotHoldIsInvalid) {
  TelemetryBatch batch = BatchBuilder().scrape(gpu_, at(0), {{"a", 1}}).batch();
  batch.samples[0].value = std::numeric_limits<double>::quiet_NaN();
  const BatchToWrite to_write{&batch, {}};
  auto written = repository().write({&to_write, 1});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kInvalid);
  batch.samples[0] = {1, 1.0};
  written = repository().write({&to_write, 1});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(everything(gpu_).empty());
}

TEST_P(TelemetryRepositoryContract, ManyWritersAtOnceLoseNothing) {
  constexpr int kThreads = 4;
  constexpr int kBatches = 25;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kBatches; ++i) {
        write(BatchBuilder()
                  .scrape(gpu_, at(i * 1000 + thread), {{"a", static_cast<double>(thread)}})
                  .scrape(numbered_gpu(static_cast<std::uint32_t>(100 + thread)), at(i * 1000),
                          {{"b", static_cast<double>(i)}})
                  .batch());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  in_every_state([&] {
    EXPECT_EQ(everything(gpu_).size(), static_cast<std::size_t>(kThreads * kBatches));
    for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
      EXPECT_EQ(everything(numbered_gpu(100 + thread)).size(), static_cast<std::size_t>(kBatches));
    }
  });
}

}  // namespace gpu_telemetry::storage
