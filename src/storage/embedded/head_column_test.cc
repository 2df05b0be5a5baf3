#include "storage/embedded/head_column.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::int64_t kTimes = 3'000;

class HeadColumnTest : public testing::Test {
 protected:
  void insert(std::int64_t timestamp, double value) {
    column_.insert(arena_, timestamp, value, timestamp);
    expected_[timestamp] = value;
  }
  // `count` samples at times of [0, kTimes) in no order, some of them several times.
  void insert_jumbled(int count) {
    for (int i = 0; i < count; ++i) {
      insert(static_cast<std::int64_t>(random_() % kTimes), static_cast<double>(random_() % 1'000));
    }
  }
  HeadColumnView view(std::int64_t cutoff = kMinTime, std::int64_t stored_at = kMaxTime) const {
    return {HeadColumnView::Copy(column_), cutoff, stored_at};
  }
  std::pair<std::int64_t, std::int64_t> range() {
    const auto a = static_cast<std::int64_t>(random_() % kTimes);
    const auto b = static_cast<std::int64_t>(random_() % kTimes);
    return std::minmax({a, b});
  }

  std::mt19937_64 random_{1};
  Arena arena_;
  HeadColumn column_;
  std::map<std::int64_t, double> expected_;
};

std::map<std::int64_t, double> read(const HeadColumnView& view, std::int64_t start,
                                    std::int64_t end) {
  Samples out, scratch;
  view.read(start, end, out, scratch);
  std::map<std::int64_t, double> samples;
  for (std::size_t i = 0; i < out.size(); ++i) samples[out.timestamps[i]] = out.values[i];
  EXPECT_EQ(samples.size(), out.size()) << "a time twice";
  EXPECT_TRUE(std::is_sorted(out.timestamps.begin(), out.timestamps.end()));
  return samples;
}

std::map<std::int64_t, double> part(const std::map<std::int64_t, double>& all, std::int64_t start,
                                    std::int64_t end) {
  return {all.lower_bound(start), all.upper_bound(end)};
}

TEST_F(HeadColumnTest, WhatComesInNoOrderIsReadInOrderAndTheLastWrittenCounts) {
  for (const int count : {3, 5, 40, 255, 256, 257, 300, 1'000, 10'000}) {
    SCOPED_TRACE(count);
    insert_jumbled(count);
    const HeadColumnView seen = view();
    EXPECT_EQ(read(seen, kMinTime, kMaxTime), expected_);
    EXPECT_EQ(seen.first(), expected_.begin()->first);
    EXPECT_EQ(seen.last(), expected_.rbegin()->first);
    for (int i = 0; i < 50; ++i) {
      const auto [start, end] = range();
      EXPECT_EQ(read(seen, start, end), part(expected_, start, end)) << start << ".." << end;
      EXPECT_GE(column_.count(start, end), part(expected_, start, end).size());
    }
    const HeadSample newest = column_.newest();
    EXPECT_EQ(newest.timestamp, expected_.rbegin()->first);
    EXPECT_EQ(newest.value, expected_.rbegin()->second);
  }
}

TEST_F(HeadColumnTest, BucketsOfWhatCameInNoOrderAreThoseOfTheSamples) {
  for (const int count : {3, 40, 300, 5'000}) {
    SCOPED_TRACE(count);
    insert_jumbled(count);
    for (int i = 0; i < 50; ++i) {
      const auto [start, end] = range();
      std::vector<Bucket> buckets;
      view().aggregate(start, end, 100, buckets);
      auto bucket = buckets.begin();
      const auto samples = part(expected_, start, end);
      for (auto at = samples.begin(); at != samples.end(); ++bucket) {
        ASSERT_NE(bucket, buckets.end());
        const std::int64_t from = at->first / 100 * 100;
        Bucket sum{from_unix_milliseconds(from), 0, 0, at->second, at->second, at->second};
        for (; at != samples.end() && at->first < from + 100; ++at) {
          ++sum.count;
          sum.sum += at->second;
          sum.min = std::min(sum.min, at->second);
          sum.max = std::max(sum.max, at->second);
          sum.last = at->second;
        }
        EXPECT_EQ(bucket->start, sum.start);
        EXPECT_EQ(bucket->count, sum.count);
        EXPECT_EQ(bucket->sum, sum.sum);
        EXPECT_EQ(bucket->min, sum.min);
        EXPECT_EQ(bucket->max, sum.max);
        EXPECT_EQ(bucket->last, sum.last);
      }
      EXPECT_EQ(bucket, buckets.end());
    }
  }
}

TEST_F(HeadColumnTest, AViewGoesOnShowingWhatThereWasWhenItWasMade) {
  std::vector<HeadColumnView> views;
  std::vector<std::map<std::int64_t, double>> then;
  for (int i = 0; i < 200; ++i) {
    insert_jumbled(7);
    views.push_back(view());
    then.push_back(expected_);
  }
  for (std::size_t i = 0; i < views.size(); ++i) {
    EXPECT_EQ(read(views[i], kMinTime, kMaxTime), then[i]) << i;
  }
}

TEST_F(HeadColumnTest, WhatIsExpiredIsNotShown) {
  insert_jumbled(2'000);
  for (const std::int64_t cutoff : {std::int64_t{1}, kTimes / 2, kTimes - 100}) {
    const HeadColumnView seen = view(cutoff);
    EXPECT_EQ(read(seen, kMinTime, kMaxTime), part(expected_, cutoff, kMaxTime));
    EXPECT_EQ(seen.stored_at(kMinTime, kMaxTime), expected_.rbegin()->first);
  }
  EXPECT_EQ(view(kTimes).samples(), 0u);
}

// Merged piece by piece it would move 800 million samples.
TEST_F(HeadColumnTest, WhatCameNewestFirstIsReadAtOnce) {
  constexpr std::int64_t kSamples = 640'000;
  for (std::int64_t i = kSamples; i > 0; --i) column_.insert(arena_, i, static_cast<double>(i), i);
  Samples out, scratch;
  view().read(kMinTime, kMaxTime, out, scratch);
  ASSERT_EQ(out.size(), static_cast<std::size_t>(kSamples));
  EXPECT_EQ(out.timestamps.front(), 1);
  EXPECT_EQ(out.values.back(), static_cast<double>(kSamples));
  EXPECT_TRUE(std::is_sorted(out.timestamps.begin(), out.timestamps.end()));
}

TEST_F(HeadColumnTest, MemoryGrowsWithTheSamplesInWhateverOrderTheyCome) {
  for (int i = 100'000; i > 0; --i) insert(i, i);
  EXPECT_LT(arena_.used(), std::size_t{100'000} * sizeof(HeadSample) * 5 / 4);
}

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
