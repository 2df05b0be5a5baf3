#include "storage/telemetry_repository_contract.h"

namespace gpu_telemetry::storage {
namespace {

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

TEST_P(FleetContract, GroupsAreAddedUpInEachWay) {
  write_fleet();
  in_every_state([&] {
    EXPECT_EQ(groups(fleet_query(Combine::kAverage)),
              (std::vector<Values>{{{0, 152.5}, {60, 158.5}}, {{0, 302.5}, {60, 308.5}}}));
    EXPECT_EQ(groups(fleet_query(Combine::kMin)),
              (std::vector<Values>{{{0, 100}, {60, 106}}, {{0, 300}, {60, 306}}}));
    EXPECT_EQ(groups(fleet_query(Combine::kMax)),
              (std::vector<Values>{{{0, 205}, {60, 211}}, {{0, 305}, {60, 311}}}));
    EXPECT_EQ(groups(fleet_query(Combine::kCount)),
              (std::vector<Values>{{{0, 12}, {60, 12}}, {{0, 6}, {60, 6}}}));
    EXPECT_EQ(groups(fleet_query(Combine::kSum)),
              (std::vector<Values>{{{0, 305}, {60, 317}}, {{0, 302.5}, {60, 308.5}}}));
    EXPECT_EQ(groups(fleet_query(Combine::kLast)),
              (std::vector<Values>{{{0, 155}, {60, 161}}, {{0, 305}, {60, 311}}}));
  });
}

TEST_P(FleetContract, ManyGpusOfOneGroupAreAddedUpLikeFew) {
  GroupQuery query = fleet_query(Combine::kAverage);
  query.members.clear();
  BatchBuilder builder;
  for (std::uint32_t n = 0; n < 250; ++n) {
    query.members.push_back({numbered_gpu(n), n == 7 ? 1U : 0U});
    builder.scrape(numbered_gpu(n), at(1000 + n), {{"gauge", static_cast<double>(n)}});
  }
  write(builder.batch());
  in_every_state([&] {
    const double sum = 249.0 * 250 / 2 - 7;
    EXPECT_EQ(groups(query), (std::vector<Values>{{{0, sum / 249}}, {{0, 7}}}));
    for (const auto& [combine, value] :
         std::vector<std::pair<Combine, double>>{{Combine::kMin, 0},
                                                 {Combine::kMax, 249},
                                                 {Combine::kCount, 249},
                                                 {Combine::kSum, sum},
                                                 {Combine::kLast, sum / 249}}) {
      query.combine = combine;
      EXPECT_EQ(groups(query),
                (std::vector<Values>{{{0, value}}, {{0, combine == Combine::kCount ? 1.0 : 7.0}}}));
    }
    query.combine = Combine::kAverage;
  });
}

TEST_P(FleetContract, AGpuCountsForEachGroupOnlyWhileItBelongsToIt) {
  write_fleet();
  GroupQuery query = fleet_query(Combine::kCount);
  query.members = {{numbered_gpu(1), 0, Timestamp::min(), at(29'999)},
                   {numbered_gpu(1), 0, at(90'000), Timestamp::max()},
                   {numbered_gpu(1), 1, at(30'000), at(89'999)},
                   {numbered_gpu(2), 1, at(60'000), at(60'000)}};
  in_every_state([&] {
    query.combine = Combine::kCount;
    EXPECT_EQ(groups(query), (std::vector<Values>{{{0, 3}, {60, 3}}, {{0, 3}, {60, 4}}}));
    query.combine = Combine::kMax;
    EXPECT_EQ(groups(query), (std::vector<Values>{{{0, 102}, {60, 111}}, {{0, 105}, {60, 206}}}));
  });
}

TEST_P(FleetContract, AGroupsRangeIsInclusiveAndItsBucketsAlignToTheEpoch) {
  write_fleet();
  GroupQuery query = fleet_query(Combine::kCount);
  query.members = {{numbered_gpu(1), 0}};
  query.start = at(10'000);
  query.end = at(70'000);
  query.step = Milliseconds{30'000};
  in_every_state(
      [&] { EXPECT_EQ(groups(query), (std::vector<Values>{{{0, 2}, {30, 3}, {60, 2}}})); });
  query.members.clear();
  EXPECT_TRUE(groups(query).empty());
  query = fleet_query(Combine::kAverage);
  query.metric = "unheard_of";
  EXPECT_TRUE(groups(query).empty());
}

// Values of GPU n: 0, n, 2n, 3n, 4n, then 0 again.
TEST_P(FleetContract, ACounterThatFallsHasBegunAgainAtZero) {
  write_fleet();
  GroupQuery query = fleet_query(Combine::kIncrease);
  query.members = {{numbered_gpu(1), 0}, {numbered_gpu(3), 1}};
  in_every_state([&] {
    // At 0 to 50 s: 0 1 2 3 4 0; at 60 to 110 s: 1 2 3 4 0 1.
    query.combine = Combine::kIncrease;
    EXPECT_EQ(groups(query), (std::vector<Values>{{{0, 4}, {60, 5}}, {{0, 12}, {60, 15}}}));
    query.combine = Combine::kRate;
    EXPECT_EQ(groups(query), (std::vector<Values>{{{0, 4.0 / 50}, {60, 5.0 / 60}},
                                                  {{0, 12.0 / 50}, {60, 15.0 / 60}}}));
    // The pair that ends with the range's first sample begins before it.
    query.start = at(60'000);
    query.combine = Combine::kIncrease;
    EXPECT_EQ(groups(query), (std::vector<Values>{{{60, 5}}, {{60, 15}}}));
    query.start = at(0);
  });
}

TEST_P(FleetContract, AGapMakesNoPeakInTheRateOfACounter) {
  write(BatchBuilder()
            .scrape(gpu_, at(0), {{"counter", 0}})
            .scrape(gpu_, at(10'000), {{"counter", 100}})
            .scrape(gpu_, at(600'000), {{"counter", 6000}})
            .scrape(gpu_, at(610'000), {{"counter", 6100}})
            .batch());
  GroupQuery query = fleet_query(Combine::kRate);
  query.members = {{gpu_, 0}};
  query.end = at(700'000);
  in_every_state([&] { EXPECT_EQ(groups(query), (std::vector<Values>{{{0, 10}, {600, 10}}})); });
}

TEST_P(FleetContract, GroupsTimesBucketsAreBounded) {
  GroupQuery query = fleet_query(Combine::kAverage);
  query.members[2].group = 2'000'000;
  const auto refused = repository().aggregate_groups(query);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  query = fleet_query(Combine::kAverage);
  query.step = Milliseconds{1};
  query.end = at(11'002);
  EXPECT_EQ(repository().aggregate_groups(query).error().code, ErrorCode::kInvalid);
}

TEST_P(FleetContract, TheNewestValuesOfManyGpusComeAsOneTable) {
  write(BatchBuilder()
            .scrape(numbered_gpu(1), at(0), {{"a", 1}, {"b", 2}})
            .scrape(numbered_gpu(2), at(0), {{"a", 3}})
            .scrape(numbered_gpu(3), at(0), {{"a", 4}, {"b", 5}})
            .batch());
  harness_->settle();
  write(BatchBuilder()
            .scrape(numbered_gpu(1), at(10'000), {{"a", 6}})
            .scrape(numbered_gpu(3), at(0), {{"b", 7}})
            .scrape(numbered_gpu(4), at(9'000), {{"b", 8}})
            .batch());
  write(BatchBuilder().scrape(numbered_gpu(4), at(8'000), {{"b", 9}}).batch());
  LatestQuery query;
  query.metrics = {"b", "a", "unheard_of"};
  for (const std::uint32_t n : {4U, 3U, 2U, 1U, 5U}) {
    query.gpus.push_back({numbered_gpu(n), at(0)});
  }
  const auto table = [&] {
    std::string text;
    const auto values = repository().latest_values(query);
    EXPECT_TRUE(values) << values.error();
    if (!values) return text;
    EXPECT_EQ(values->values.size(), query.gpus.size() * query.metrics.size());
    EXPECT_EQ(values->times.size(), values->values.size());
    for (std::size_t i = 0; i < values->values.size(); ++i) {
      if (i > 0) text += i % query.metrics.size() == 0 ? " | " : " ";
      text +=
          std::isnan(values->values[i]) ? "-" : std::to_string(static_cast<int>(values->values[i]));
    }
    return text;
  };
  in_every_state([&] {
    EXPECT_EQ(table(), "8 - - | 7 4 - | - 3 - | 2 6 - | - - -");
    const auto times = repository().latest_values(query)->times;
    EXPECT_EQ(times[0], at(9'000));
    EXPECT_EQ(times[1], Timestamp::min());
    EXPECT_EQ(times[10], at(10'000));
    for (auto& place : query.gpus) place.since = at(9'000);
    EXPECT_EQ(table(), "8 - - | - - - | - - - | - 6 - | - - -");
    for (auto& place : query.gpus) place.since = at(0);
  });
}

TEST_P(FleetContract, TheScrapeIntervalIsTheMedianGapOfOneMetric) {
  BatchBuilder builder;
  std::int64_t time = 0;
  for (int i = 0; i < 30; ++i) {
    time += i == 20 ? 95'000 : 10'000;  // one gap
    builder.scrape(numbered_gpu(1), at(time), {{"a", 1}, {"b", 2}});
    builder.scrape(numbered_gpu(1), at(time + 7), {{"c", 1}});  // scrapes that come in parts
    if (i < 2) builder.scrape(numbered_gpu(2), at(time * 3), {{"a", 1}});
    if (i < 1) builder.scrape(numbered_gpu(3), at(time), {{"a", 1}});
  }
  write(builder.batch());
  const std::vector<GpuUuid> gpus{numbered_gpu(3), numbered_gpu(1), numbered_gpu(2),
                                  numbered_gpu(9)};
  in_every_state([&] {
    const auto intervals = repository().scrape_intervals(gpus);
    ASSERT_TRUE(intervals) << intervals.error();
    EXPECT_EQ(*intervals, (std::vector<Milliseconds>{Milliseconds{0}, Milliseconds{10'000},
                                                     Milliseconds{30'000}, Milliseconds{0}}));
  });
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

TEST_P(TelemetryRepositoryContract, NamesTheMetricsOfAllGpus) {
  write(BatchBuilder().scrape(gpu_, at(5000), {{"b", 1}, {"a", 2}}).batch());
  harness_->settle();
  write(BatchBuilder().scrape(numbered_gpu(7), at(1000), {{"c", 4}, {"a", 4}}).batch());
  in_every_state([&] {
    const auto names = repository().metric_names();
    ASSERT_TRUE(names);
    EXPECT_EQ(*names, (std::vector<std::string>{"a", "b", "c"}));
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

}  // namespace
}  // namespace gpu_telemetry::storage
