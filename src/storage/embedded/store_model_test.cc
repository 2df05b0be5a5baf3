// The store against a model that cannot be wrong: a map.
#include <map>
#include <random>

#include "storage/embedded/store_fixture.h"

namespace gpu_telemetry::storage::embedded {
namespace {

class Model {
 public:
  void write(const TelemetryBatch& batch) {
    for (const Scrape& scrape : batch.scrapes) {
      auto& rows = rows_[batch.gpus[scrape.gpu]->uuid];
      for (std::uint32_t i = 0; i < scrape.sample_count; ++i) {
        const Sample& sample = batch.samples[scrape.first_sample + i];
        rows[{unix_milliseconds(scrape.timestamp), batch.metrics[sample.metric]}] = sample.value;
      }
    }
  }

  std::vector<Row> rows(const SampleQuery& query) const {
    std::vector<Row> found;
    const auto gpu = rows_.find(query.gpu);
    if (gpu == rows_.end()) return found;
    for (const auto& [key, value] : gpu->second) {
      if (key.first < unix_milliseconds(query.start) || key.first > unix_milliseconds(query.end)) {
        continue;
      }
      if (!query.metrics.empty() && std::find(query.metrics.begin(), query.metrics.end(),
                                              key.second) == query.metrics.end()) {
        continue;
      }
      found.emplace_back(key.first, key.second, value);
    }
    if (query.order == Order::kNewestFirst) {
      std::stable_sort(found.begin(), found.end(),
                       [](const Row& a, const Row& b) { return std::get<0>(a) > std::get<0>(b); });
    }
    if (query.limit != 0 && found.size() > query.limit) {
      found.resize(static_cast<std::size_t>(query.limit));
    }
    return found;
  }

  std::map<std::int64_t, std::pair<std::uint64_t, double>> buckets(const AggregateQuery& query,
                                                                   const GpuUuid& gpu) const {
    std::map<std::int64_t, std::pair<std::uint64_t, double>> found;  // count and last
    SampleQuery samples;
    samples.gpu = gpu;
    samples.start = query.start;
    samples.end = query.end;
    samples.metrics = {query.metric};
    samples.order = Order::kOldestFirst;
    for (const auto& [time, metric, value] : rows(samples)) {
      auto& bucket = found[time / query.step.count() * query.step.count()];
      ++bucket.first;
      bucket.second = value;
    }
    return found;
  }

 private:
  std::map<GpuUuid, std::map<std::pair<std::int64_t, std::string>, double>> rows_;
};

class StoreModel : public testing::TestWithParam<int> {
 protected:
  StoreModel() : random_(static_cast<std::uint32_t>(GetParam())) {
    simulated_.options().retention = std::chrono::milliseconds{0};
    simulated_.options().head_size = 48_KiB;
    simulated_.open();
  }

  std::int64_t number(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  Timestamp somewhen() {
    // Few distinct times, so that keys repeat; some of them days ago.
    const std::int64_t back = number(0, 3) == 0 ? number(0, 40) * 7'200'000 : 0;
    return from_unix_milliseconds(clock_ms() - back + number(-40, 40) * 5000);
  }
  std::int64_t clock_ms() { return unix_milliseconds(simulated_.clock().now()); }

  void write_something() {
    BatchBuilder builder;
    for (std::int64_t scrapes = number(1, 60); scrapes > 0; --scrapes) {
      std::vector<std::pair<std::string, double>> readings;
      for (const char* metric : {"a", "b", "c", "d"}) {
        if (number(0, 2) > 0)
          readings.emplace_back(metric, static_cast<double>(number(0, 1000)) / 8);
      }
      if (readings.empty()) continue;
      builder.scrape(numbered_gpu(static_cast<std::uint32_t>(number(1, 5))), somewhen(), readings);
    }
    if (builder.batch().empty()) return;
    const auto written = simulated_.write(builder.batch());
    ASSERT_TRUE(written) << written.error();
    model_.write(builder.batch());
  }

  void compare() {
    SampleQuery query;
    query.gpu = numbered_gpu(static_cast<std::uint32_t>(number(1, 6)));
    query.order = number(0, 1) == 0 ? Order::kNewestFirst : Order::kOldestFirst;
    if (number(0, 2) > 0) {
      query.start = somewhen();
      query.end = query.start + Milliseconds{number(0, 20'000'000)};
    }
    if (number(0, 1) == 0) query.metrics = {"c", "a"};
    if (number(0, 2) == 0) query.limit = static_cast<std::uint64_t>(number(1, 50));
    ASSERT_EQ(rows_of(simulated_.store(), query), model_.rows(query));

    AggregateQuery aggregate{"b", {query.gpu}, somewhen(), {}};
    aggregate.end = aggregate.start + Milliseconds{number(0, 20'000'000)};
    const auto answer = simulated_.store().aggregate(aggregate);
    ASSERT_TRUE(answer) << answer.error();
    std::map<std::int64_t, std::pair<std::uint64_t, double>> buckets;
    for (const auto& gpu : *answer) {
      for (const Bucket& bucket : gpu.buckets) {
        buckets[unix_milliseconds(bucket.start)] = {bucket.count, bucket.last};
      }
    }
    ASSERT_EQ(buckets, model_.buckets(aggregate, query.gpu));
  }

  void expect_all() {
    for (std::uint32_t n = 1; n <= 6; ++n) {
      SampleQuery query;
      query.gpu = numbered_gpu(n);
      query.order = Order::kOldestFirst;
      ASSERT_EQ(rows_of(simulated_.store(), query), model_.rows(query));
    }
  }

  std::mt19937 random_;
  SimulatedStore simulated_;
  Model model_;
};

TEST_P(StoreModel, AnswersAsAMapWould) {
  for (int step = 0; step < 250 && !HasFatalFailure(); ++step) {
    simulated_.clock().advance(std::chrono::seconds{number(0, 300)});
    switch (number(0, 9)) {
      case 0: {
        const auto sealed = simulated_.store().seal();
        ASSERT_TRUE(sealed) << sealed.error();
        break;
      }
      case 1: {
        const auto maintained = simulated_.store().maintain();
        ASSERT_TRUE(maintained) << maintained.error();
        break;
      }
      case 2:
        simulated_.open();
        ASSERT_TRUE(simulated_.report().damage.empty()) << simulated_.report().damage.front();
        break;
      default:
        write_something();
    }
    compare();
  }
  expect_all();
  ASSERT_TRUE(simulated_.store().seal());
  ASSERT_TRUE(simulated_.store().maintain());
  expect_all();
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreModel, testing::Range(1, 7));

}  // namespace
}  // namespace gpu_telemetry::storage::embedded
