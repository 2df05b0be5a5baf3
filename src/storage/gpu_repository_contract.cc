#include "storage/gpu_repository_contract.h"

namespace gpu_telemetry::storage {
namespace {

TEST_P(GpuRepositoryContract, AnUnknownGpuIsNotFoundAndHasNoAttribution) {
  const auto found = repository().find(numbered_gpu(1));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(pods(1).empty());
  EXPECT_TRUE(listed({}, 0).empty());
}

TEST_P(GpuRepositoryContract, AnObservedGpuComesBackWithEveryAttribute) {
  const Gpu gpu = gpu_on(3, "train");
  observe({{gpu, 10, 20}});
  now_and_reopened([&] {
    const auto found = repository().find(gpu.uuid);
    ASSERT_TRUE(found) << found.error();
    EXPECT_EQ(*found, (GpuRecord{gpu, at(10), at(20)}));
  });
}

TEST_P(GpuRepositoryContract, FirstAndLastSeenWiden) {
  const Gpu gpu = gpu_on(3, "train");
  observe({{gpu, 10, 20}});
  observe({{gpu, 5, 6}});
  observe({{gpu, 30, 40}});
  now_and_reopened([&] {
    const auto found = repository().find(gpu.uuid);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->first_seen, at(5));
    EXPECT_EQ(found->last_seen, at(40));
  });
}

TEST_P(GpuRepositoryContract, AnOlderScrapeNeverOverwritesNewerAttributes) {
  observe({{gpu_on(3, "new", "node-new"), 10, 20}});
  observe({{gpu_on(3, "old", "node-old"), 0, 5}});
  now_and_reopened([&] {
    const auto found = repository().find(numbered_gpu(3));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->gpu, gpu_on(3, "new", "node-new"));
    EXPECT_EQ(found->first_seen, at(0));
    EXPECT_EQ(pods(3), (std::vector<std::string>{"old 0..5", "new 10..20"}));
  });
}

TEST_P(GpuRepositoryContract, AttributionIsKeptAsIntervals) {
  observe({{gpu_on(3, "a"), 0, 10}, {gpu_on(3, "b"), 20, 30}});
  observe({{gpu_on(3, "b"), 40, 50}});
  observe({{gpu_on(3, "a"), 60, 60}});
  now_and_reopened([&] {
    EXPECT_EQ(pods(3), (std::vector<std::string>{"a 0..10", "b 20..50", "a 60..60"}));
    EXPECT_EQ(pods(3, at(10), at(20)), (std::vector<std::string>{"a 0..10", "b 20..50"}));
    EXPECT_EQ(pods(3, at(11), at(19)), (std::vector<std::string>{}));
    EXPECT_EQ(pods(3, at(51), at(100)), (std::vector<std::string>{"a 60..60"}));
  });
}

TEST_P(GpuRepositoryContract, ALateScrapeOfSomebodyElseSplitsAnInterval) {
  observe({{gpu_on(3, "a"), 0, 10}});
  observe({{gpu_on(3, "a"), 40, 50}});
  observe({{gpu_on(3, "b"), 20, 30}});
  now_and_reopened([&] {
    const auto who = pods(3);
    ASSERT_EQ(who.size(), 3u);
    EXPECT_EQ(who[1], "b 20..30");
  });
}

TEST_P(GpuRepositoryContract, RepeatingAnObservationChangesNothing) {
  const auto all = [&] {
    observe({{gpu_on(3, "a"), 0, 10}, {gpu_on(3, "b"), 20, 30}, {gpu_on(4, "c"), 5, 6}});
  };
  all();
  const auto before = repository().find(numbered_gpu(3));
  all();
  observe({{gpu_on(3, "a"), 0, 10}});
  now_and_reopened([&] {
    const auto after = repository().find(numbered_gpu(3));
    ASSERT_TRUE(before && after);
    EXPECT_EQ(*before, *after);
    EXPECT_EQ(pods(3), (std::vector<std::string>{"a 0..10", "b 20..30"}));
    EXPECT_EQ(pods(4), (std::vector<std::string>{"c 5..6"}));
  });
}

TEST_P(GpuRepositoryContract, ListsAreSortedFilteredAndPaged) {
  for (std::uint32_t n = 1; n <= 6; ++n) {
    observe({{gpu_on(n, n <= 2 ? "x" : "y", n <= 3 ? "node-1" : "node-2"), 0, 10}});
  }
  now_and_reopened([&] {
    const auto uuid = [](std::uint32_t n) { return numbered_gpu(n); };
    EXPECT_EQ(listed({}, 6),
              (std::vector<GpuUuid>{uuid(1), uuid(2), uuid(3), uuid(4), uuid(5), uuid(6)}));
    GpuFilter filter;
    filter.hostname = {"node-2"};
    EXPECT_EQ(listed(filter, 3), (std::vector<GpuUuid>{uuid(4), uuid(5), uuid(6)}));
    filter.model_name = {"Model Even"};
    EXPECT_EQ(listed(filter, 2), (std::vector<GpuUuid>{uuid(4), uuid(6)}));
    filter = {};
    filter.pod_namespace = {"team-x"};
    filter.pod = {"x"};
    filter.container = {"main"};
    EXPECT_EQ(listed(filter, 2), (std::vector<GpuUuid>{uuid(1), uuid(2)}));
    filter.container = {""};
    EXPECT_TRUE(listed(filter, 0).empty());

    const auto page = repository().list({}, uuid(2), 3);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->total, 6u);
    ASSERT_EQ(page->gpus.size(), 3u);
    EXPECT_EQ(page->gpus.front().gpu.uuid, uuid(3));
    EXPECT_EQ(page->gpus.back().gpu.uuid, uuid(5));
  });
}

TEST_P(GpuRepositoryContract, ValuesOfOneFilterAreAlternatives) {
  for (std::uint32_t n = 1; n <= 4; ++n) {
    observe({{gpu_on(n, "pod-" + std::to_string(n), "node-" + std::to_string(n)), 0, 10}});
  }
  now_and_reopened([&] {
    GpuFilter filter;
    filter.hostname = {"node-1", "node-3", "node-9"};
    EXPECT_EQ(listed(filter, 2), (std::vector<GpuUuid>{numbered_gpu(1), numbered_gpu(3)}));
    filter.pod = {"pod-3", "pod-4"};
    EXPECT_EQ(listed(filter, 1), (std::vector<GpuUuid>{numbered_gpu(3)}));
  });
}

TEST_P(GpuRepositoryContract, AttributionInForceLastsUntilTheNextOne) {
  observe({{gpu_on(1, "a"), 0, 10}, {gpu_on(1, "b"), 20, 30}, {gpu_on(2, "c"), 5, 6}});
  observe({{gpu_on(1, "d"), 50, 60}});
  const auto in_force = [&](Timestamp start, Timestamp end) {
    const std::vector<GpuUuid> uuids{numbered_gpu(2), numbered_gpu(9), numbered_gpu(1)};
    std::string text;
    const auto all = repository().attribution_in_force(uuids, start, end);
    EXPECT_TRUE(all) << all.error();
    if (!all) return text;
    EXPECT_EQ(all->size(), uuids.size());
    for (const auto& intervals : *all) {
      text += "[";
      for (const AttributionInterval& interval : intervals) {
        text += " " + interval.who.pod + " " +
                std::to_string((interval.start - base_).count() / 1000) + "..";
        text += interval.end == Timestamp::max()
                    ? "ever"
                    : std::to_string((interval.end - base_).count()) + "ms";
      }
      text += " ]";
    }
    return text;
  };
  now_and_reopened([&] {
    EXPECT_EQ(in_force(at(0), at(100)),
              "[ c 5..ever ][ ][ a 0..19999ms b 20..49999ms d 50..ever ]");
    EXPECT_EQ(in_force(at(15), at(49)), "[ c 5..ever ][ ][ a 0..19999ms b 20..49999ms ]");
    EXPECT_EQ(in_force(at(70), at(80)), "[ c 5..ever ][ ][ d 50..ever ]");
    EXPECT_EQ(in_force(at(-9), at(-1)), "[ ][ ][ ]");
  });
}

TEST_P(GpuRepositoryContract, AttributionFiltersMatchTheNewestAttribution) {
  observe({{gpu_on(1, "before"), 0, 10}});
  observe({{gpu_on(1, "after"), 20, 30}});
  now_and_reopened([&] {
    GpuFilter filter;
    filter.pod = {"before"};
    EXPECT_TRUE(listed(filter, 0).empty());
    filter.pod = {"after"};
    EXPECT_EQ(listed(filter, 1).size(), 1u);
  });
}

}  // namespace
}  // namespace gpu_telemetry::storage
