// What every TelemetryRepository promises, as tests (telemetry_repository_contract.cc). A test
// executable links storage_contract and instantiates them:
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
    std::vector<Row> rows = ask_for_rows(query);
    EXPECT_EQ(ask_for_columns(query), rows);
    return rows;
  }
  std::vector<Row> ask_for_rows(const SampleQuery& query) {
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

  std::vector<Row> ask_for_columns(const SampleQuery& query) {
    std::vector<Row> rows;
    const auto cursor = repository().query(query);
    EXPECT_TRUE(cursor);
    if (!cursor) return rows;
    const auto names = (*cursor)->metric_names();
    while (true) {
      const auto block = (*cursor)->next_columns();
      EXPECT_TRUE(block) << block.error();
      if (!block || block->empty()) return rows;
      std::vector<Row> more;
      for (const SampleColumn& column : *block) {
        EXPECT_FALSE(column.times.empty());
        EXPECT_EQ(column.times.size(), column.values.size());
        for (std::size_t i = 0; i < column.times.size(); ++i) {
          more.emplace_back(column.times[i] - unix_milliseconds(base_), names[column.metric],
                            column.values[i]);
        }
      }
      // Each column is in order, and so is each metric after the other.
      std::stable_sort(more.begin(), more.end(), [&query](const Row& a, const Row& b) {
        const bool newest_first = query.order == Order::kNewestFirst;
        return newest_first ? std::get<0>(a) > std::get<0>(b) : std::get<0>(a) < std::get<0>(b);
      });
      rows.insert(rows.end(), more.begin(), more.end());
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

// Three GPUs of two groups for two minutes, each 10 s; the third joins the first group later.
class FleetContract : public TelemetryRepositoryContract {
 protected:
  using Values = std::vector<std::pair<std::int64_t, double>>;  // seconds after the base, value

  void write_fleet() {
    for (std::int64_t i = 0; i < 12; ++i) {
      BatchBuilder builder;
      for (std::uint32_t n = 1; n <= 3; ++n) {
        builder.scrape(numbered_gpu(n), at(i * 10'000),
                       {{"gauge", static_cast<double>(100 * n) + static_cast<double>(i)},
                        {"counter", static_cast<double>(i % 5) * n}});
      }
      write(builder.batch());
      if (i == 4) harness_->settle();
    }
  }
  GroupQuery fleet_query(Combine combine) const {
    GroupQuery query;
    query.metric = is_counter(combine) ? "counter" : "gauge";
    query.members = {{numbered_gpu(1), 0}, {numbered_gpu(2), 0}, {numbered_gpu(3), 1}};
    query.start = at(0);
    query.end = at(119'999);
    query.combine = combine;
    return query;
  }
  static bool is_counter(Combine combine) {
    return combine == Combine::kRate || combine == Combine::kIncrease;
  }
  std::vector<Values> groups(const GroupQuery& query) {
    std::vector<Values> answer;
    const auto series = repository().aggregate_groups(query);
    EXPECT_TRUE(series) << series.error();
    if (!series) return answer;
    for (const GroupSeries& group : *series) {
      EXPECT_EQ(group.times.size(), group.values.size());
      answer.resize(group.group + 1);
      for (std::size_t i = 0; i < group.times.size(); ++i) {
        answer[group.group].emplace_back((group.times[i] - base_).count() / 1000, group.values[i]);
      }
    }
    return answer;
  }
};

}  // namespace gpu_telemetry::storage
