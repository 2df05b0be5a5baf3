// The API's answers about GPUs, as tests for every store.
#include "services/api_gateway/api_contract.h"

namespace gpu_telemetry::services {
namespace {

TEST_P(ApiContract, ListsAllGpusWithTheirAttributesAndFreshness) {
  clock_.advance(std::chrono::milliseconds{12'300});
  const auto list = get("/api/v1/gpus");
  EXPECT_EQ(list.at("total").as_int64(), 4);
  EXPECT_EQ(uuids(list), (std::vector<std::string>{uuid(1), uuid(2), uuid(3), uuid(4)}));
  const auto& first = list.at("gpus").at(0);
  EXPECT_EQ(first.at("device_id").as_string(), "nvidia1");
  EXPECT_EQ(first.at("gpu_index").as_string(), "1");
  EXPECT_EQ(first.at("model_name").as_string(), "NVIDIA H100");
  EXPECT_EQ(first.at("hostname").as_string(), "node-1");
  EXPECT_EQ(first.at("container").as_string(), "main");
  EXPECT_EQ(first.at("pod").as_string(), "y");
  EXPECT_EQ(first.at("namespace").as_string(), "team-y");
  EXPECT_EQ(text(first.at("labels")), R"({"DCGM_FI_DRIVER_VERSION":"550.54"})");
  EXPECT_EQ(first.at("state").as_string(), "live");
  EXPECT_EQ(number(first.at("age_seconds")), 12.3);
  EXPECT_EQ(number(first.at("scrape_interval_seconds")), 10);
  EXPECT_EQ(text(get("/api/v1/gpus/" + uuid(1))), text(first));
}

TEST_P(ApiContract, AGpuIsLiveThenStaleThenGone) {
  const auto state = [&] {
    return std::string(get("/api/v1/gpus/" + uuid(2)).at("state").as_string());
  };
  clock_.advance(std::chrono::seconds{30});
  EXPECT_EQ(state(), "live");
  clock_.advance(std::chrono::milliseconds{1});
  EXPECT_EQ(state(), "stale");
  clock_.advance(std::chrono::seconds{70} - std::chrono::milliseconds{1});
  EXPECT_EQ(state(), "stale");
  clock_.advance(std::chrono::milliseconds{1});
  EXPECT_EQ(state(), "gone");
}

TEST_P(ApiContract, AGpuSeenAheadOfTheClockIsStale) {
  clock_.advance(-std::chrono::seconds{60});
  const auto near = get("/api/v1/gpus/" + uuid(2));
  EXPECT_EQ(near.at("state").as_string(), "live");
  EXPECT_EQ(number(near.at("age_seconds")), 0);
  clock_.advance(-std::chrono::hours{1});
  const auto far = get("/api/v1/gpus/" + uuid(2));
  EXPECT_EQ(far.at("state").as_string(), "stale");
  EXPECT_EQ(number(far.at("age_seconds")), -3660);
}

TEST_P(ApiContract, FiltersMatchExactlyAndValuesOfOneAreAlternatives) {
  const auto found = [&](const std::string& query) { return uuids(get("/api/v1/gpus?" + query)); };
  EXPECT_EQ(found("hostname=node-2"), (std::vector<std::string>{uuid(3), uuid(4)}));
  EXPECT_EQ(found("hostname=node-1&hostname=node-2").size(), 4U);
  EXPECT_EQ(found("model_name=NVIDIA%20A100"), (std::vector<std::string>{uuid(4)}));
  EXPECT_EQ(found("namespace=team-y"), (std::vector<std::string>{uuid(1)}));
  EXPECT_EQ(found("pod=x&hostname=node-2"), (std::vector<std::string>{uuid(3)}));
  EXPECT_EQ(found("container="), (std::vector<std::string>{uuid(4)}));
  EXPECT_TRUE(found("hostname=node").empty());
  EXPECT_EQ(found("state=live").size(), 4U);
  EXPECT_TRUE(found("state=gone&state=stale").empty());
  EXPECT_EQ(problem("/api/v1/gpus?state=dead", 400), "state: 'dead' is none of live, stale, gone");
}

TEST_P(ApiContract, PagesOfGpusJoinToTheWholeList) {
  for (const std::string filter : {"", "&state=live", "&hostname=node-1&hostname=node-2"}) {
    std::vector<std::string> joined;
    std::string target = "/api/v1/gpus?limit=3" + filter;
    for (int pages = 0; !target.empty() && pages < 3; ++pages) {
      const http::RawAnswer answer = ask(target);
      ASSERT_EQ(answer.status, 200) << answer.body;
      const auto page = json_lib::parse(answer.body);
      EXPECT_EQ(page.at("total").as_int64(), 4);
      for (const std::string& each : uuids(page)) joined.push_back(each);
      target.clear();
      const std::string link = answer.header("Link");
      EXPECT_EQ(page.as_object().contains("next_cursor"), link != "(none)");
      if (link == "(none)") break;
      EXPECT_TRUE(link.ends_with(">; rel=\"next\"")) << link;
      target = link.substr(1, link.find('>') - 1);
    }
    EXPECT_EQ(joined, (std::vector<std::string>{uuid(1), uuid(2), uuid(3), uuid(4)})) << filter;
  }
}

TEST_P(ApiContract, ACursorOfAnotherListIsRefused) {
  const std::string cursor(get("/api/v1/gpus?limit=1").at("next_cursor").as_string());
  EXPECT_NE(problem("/api/v1/gpus?limit=1&hostname=node-1&cursor=" + cursor, 400)
                .find("belongs to another query"),
            std::string::npos);
  EXPECT_NE(problem("/api/v1/gpus?cursor=00", 400).find("not one that this API gave out"),
            std::string::npos);
  EXPECT_EQ(problem("/api/v1/gpus?limit=0", 400),
            "limit: '0' is not a whole number from 1 to 100000");
}

TEST_P(ApiContract, AnUnknownGpuIs404AndAMalformedUuid400OnEveryRoute) {
  for (const std::string route : {"", "/telemetry", "/latest", "/metrics", "/attribution"}) {
    problem("/api/v1/gpus/" + uuid(99) + route, 404);
    problem("/api/v1/gpus/nonsense" + route, 400);
  }
}

TEST_P(ApiContract, TheLatestValuesOfAGpuSayWhatTheyAreAndWhetherTheyAreStale) {
  write(storage::BatchBuilder()
            .scrape(storage::numbered_gpu(1), now() + std::chrono::seconds{5},
                    {{"DCGM_FI_DEV_GPU_TEMP", 77}, {"our_metric", 1.25}})
            .batch());
  clock_.advance(std::chrono::seconds{31});
  const auto latest = get("/api/v1/gpus/" + uuid(1) + "/latest");
  EXPECT_EQ(latest.at("gpu_uuid").as_string(), uuid(1));
  EXPECT_EQ(latest.at("state").as_string(), "live");  // by the sample, newer than the record
  EXPECT_EQ(number(latest.at("age_seconds")), 26);
  EXPECT_EQ(latest.at("count").as_int64(), 7);
  const auto metric = [&](std::string_view name) {
    for (const auto& each : latest.at("latest").as_array()) {
      if (each.at("metric_name").as_string() == name) return each;
    }
    ADD_FAILURE() << name;
    return json_lib::value();
  };
  const auto heat = metric("DCGM_FI_DEV_GPU_TEMP");
  EXPECT_EQ(number(heat.at("value")), 77);
  EXPECT_EQ(heat.at("unit").as_string(), "C");
  EXPECT_EQ(heat.at("kind").as_string(), "gauge");
  EXPECT_FALSE(heat.at("stale").as_bool());
  EXPECT_EQ(heat.at("timestamp").as_string(), format_rfc3339(now() - std::chrono::seconds{26}));
  EXPECT_TRUE(metric("DCGM_FI_DEV_GPU_UTIL").at("stale").as_bool());
  EXPECT_EQ(metric("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION").at("kind").as_string(), "counter");
  EXPECT_EQ(metric("our_metric").at("unit").as_string(), "");
}

TEST_P(ApiContract, TheMetricsOfAGpuAreListedWithTheirTimes) {
  const auto list = get("/api/v1/gpus/" + uuid(2) + "/metrics");
  EXPECT_EQ(list.at("count").as_int64(), 6);
  const auto& first = list.at("metrics").at(0);
  EXPECT_EQ(first.at("metric_name").as_string(), "DCGM_FI_DEV_FB_FREE");
  EXPECT_EQ(first.at("unit").as_string(), "MiB");
  EXPECT_FALSE(first.at("help").as_string().empty());
  EXPECT_EQ(first.at("first_seen").as_string(), format_rfc3339(scrape_time(0)));
  EXPECT_EQ(first.at("last_seen").as_string(), format_rfc3339(now()));
}

TEST_P(ApiContract, AttributionIsIntervals) {
  const auto whole = get("/api/v1/gpus/" + uuid(1) + "/attribution");
  EXPECT_EQ(whole.at("count").as_int64(), 2);
  const auto& earlier = whole.at("attribution").at(0);
  EXPECT_EQ(earlier.at("pod").as_string(), "x");
  EXPECT_EQ(earlier.at("namespace").as_string(), "team-x");
  EXPECT_EQ(earlier.at("container").as_string(), "main");
  EXPECT_EQ(earlier.at("start").as_string(), format_rfc3339(scrape_time(0)));
  EXPECT_EQ(earlier.at("end").as_string(), format_rfc3339(scrape_time(29)));
  const auto later =
      get("/api/v1/gpus/" + uuid(1) + "/attribution?start_time=" + format_rfc3339(scrape_time(30)));
  EXPECT_EQ(later.at("count").as_int64(), 1);
  EXPECT_EQ(later.at("attribution").at(0).at("pod").as_string(), "y");
}

TEST_P(ApiContract, TheCatalogueTellsBothNamesOfARenamedField) {
  const auto catalogue = get("/api/v1/metrics");
  const auto& metrics = catalogue.at("metrics").as_array();
  EXPECT_EQ(catalogue.at("count").as_int64(), static_cast<std::int64_t>(metrics.size()));
  const auto* found =
      std::find_if(metrics.begin(), metrics.end(), [](const json_lib::value& metric) {
        return metric.at("metric_name").as_string() == "DCGM_FI_DEV_GPU_TEMP";
      });
  ASSERT_NE(found, metrics.end());
  EXPECT_EQ(found->at("current_name").as_string(), "DCGM_FI_DEV_GPU_TEMP_CELSIUS");
  EXPECT_EQ(found->at("unit").as_string(), "C");
  EXPECT_TRUE(found->at("exported_by_default").as_bool());
}

TEST_P(ApiContract, TheNewestValuesOfTheFleetAreOneTable) {
  const auto table =
      get("/api/v1/fleet/latest?metric_name=DCGM_FI_DEV_POWER_USAGE&metric_name=never_heard_of"
          "&metric_name=DCGM_FI_DEV_GPU_TEMP_CELSIUS&metric_name=DCGM_FI_DEV_GPU_TEMP");
  EXPECT_EQ(table.at("time").as_string(), format_rfc3339(now()));
  EXPECT_EQ(text(table.at("metrics")),
            R"(["DCGM_FI_DEV_POWER_USAGE","never_heard_of","DCGM_FI_DEV_GPU_TEMP"])");
  EXPECT_EQ(table.at("total").as_int64(), 4);
  EXPECT_EQ(uuids(table), (std::vector<std::string>{uuid(1), uuid(2), uuid(3), uuid(4)}));
  const auto& third = table.at("gpus").at(2);
  EXPECT_EQ(third.at("hostname").as_string(), "node-2");
  EXPECT_EQ(third.at("namespace").as_string(), "team-x");
  EXPECT_EQ(third.at("state").as_string(), "live");
  EXPECT_EQ(number(third.at("values").at(0)), 300.5);
  EXPECT_TRUE(third.at("values").at(1).is_null());
  EXPECT_EQ(number(third.at("values").at(2)), 70);
  EXPECT_EQ(text(get("/api/v1/fleet/latest").at("metrics")), R"(["DCGM_FI_DEV_GPU_UTIL"])");
  EXPECT_EQ(get("/api/v1/fleet/latest?namespace=team-y").at("total").as_int64(), 1);
}

TEST_P(ApiContract, AValueThatIsTooOldIsNotShownAsACurrentOne) {
  write(storage::BatchBuilder()
            .scrape(storage::numbered_gpu(1), now() + std::chrono::seconds{60},
                    {{"DCGM_FI_DEV_GPU_TEMP", 77}})
            .batch());
  clock_.advance(std::chrono::milliseconds{100'001});
  const auto table =
      get("/api/v1/fleet/latest?metric_name=DCGM_FI_DEV_GPU_TEMP&metric_name=DCGM_FI_DEV_GPU_UTIL");
  const auto& first = table.at("gpus").at(0).at("values");
  EXPECT_EQ(number(first.at(0)), 77);
  EXPECT_TRUE(first.at(1).is_null());
  EXPECT_TRUE(table.at("gpus").at(1).at("values").at(0).is_null());
}

TEST_P(ApiContract, TooManyMetricsOrAMalformedOneAreRefused) {
  std::string target = "/api/v1/fleet/latest?metric_name=m0";
  for (int i = 1; i <= 20; ++i) target += "&metric_name=m" + std::to_string(i);
  EXPECT_EQ(problem(target, 400), "metric_name: 21 of them; at most 20");
  target.replace(target.rfind("m20"), 3, "m19");
  EXPECT_EQ(problem(target, 400), "metric_name: 21 of them; at most 20") << "one of them twice";
  EXPECT_NE(problem("/api/v1/fleet/latest?metric_name=a-b", 400).find("'a-b' is not a metric's"),
            std::string::npos);
}

TEST_P(ApiContract, TheSummaryAddsUpWhatIsLive) {
  const auto summary = get("/api/v1/fleet/summary");
  EXPECT_EQ(text(summary.at("gpus")), R"({"total":4,"live":4,"stale":0,"gone":0})");
  EXPECT_EQ(summary.at("hosts").as_int64(), 2);
  EXPECT_EQ(number(summary.at("utilization_avg")), kScrapes - 1);
  EXPECT_EQ(number(summary.at("power_watts")), 1002);
  EXPECT_EQ(number(summary.at("memory_used_mib")), 4000);
  EXPECT_EQ(number(summary.at("memory_total_mib")), 16'000);
  EXPECT_EQ(summary.at("hottest").at("uuid").as_string(), uuid(4));
  EXPECT_EQ(number(summary.at("hottest").at("celsius")), 80);
  EXPECT_EQ(text(summary.at("namespaces")),
            R"([{"namespace":"","gpus":1},{"namespace":"team-x","gpus":2},)"
            R"({"namespace":"team-y","gpus":1}])");
  EXPECT_EQ(text(summary.at("models")),
            R"([{"model_name":"NVIDIA A100","gpus":1},{"model_name":"NVIDIA H100","gpus":3}])");
  clock_.advance(std::chrono::seconds{90});
  const auto later = get("/api/v1/fleet/summary");
  EXPECT_EQ(text(later.at("gpus")), R"({"total":4,"live":0,"stale":4,"gone":0})");
  EXPECT_TRUE(later.at("power_watts").is_null());
  EXPECT_TRUE(later.at("hottest").is_null());
}

TEST_P(ApiContract, AScrapeCountsTheGpusByHowFreshTheyAre) {
  const std::string fresh = ask("/metrics").body;
  EXPECT_NE(fresh.find("gpu_telemetry_gpus{state=\"live\"} 4\n"), std::string::npos) << fresh;
  clock_.advance(std::chrono::seconds{90});
  const std::string later = ask("/metrics").body;
  EXPECT_NE(later.find("gpu_telemetry_gpus{state=\"live\"} 0\n"), std::string::npos) << later;
  EXPECT_NE(later.find("gpu_telemetry_gpus{state=\"stale\"} 4\n"), std::string::npos) << later;
}

}  // namespace
}  // namespace gpu_telemetry::services
