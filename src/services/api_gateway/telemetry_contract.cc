// The API's answers about telemetry, as tests for every store.
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "services/api_gateway/api_contract.h"

namespace gpu_telemetry::services {
namespace {

// The text of a time as a query may have it.
std::string time_text(Timestamp time) { return format_rfc3339(time); }

TEST_P(ApiContract, SamplesComeNewestFirstInTheShapeOfTheSpecification) {
  const auto page = get("/api/v1/gpus/" + uuid(1) + "/telemetry?limit=7");
  EXPECT_EQ(page.at("gpu_uuid").as_string(), uuid(1));
  EXPECT_EQ(page.at("count").as_int64(), 7);
  const auto& samples = page.at("telemetry").as_array();
  EXPECT_EQ(text(samples.at(0)),
            R"({"metric_name":"DCGM_FI_DEV_FB_FREE","value":3000,"timestamp":")" +
                time_text(now()) + "\"}");
  EXPECT_EQ(samples.at(6).at("timestamp").as_string(), time_text(scrape_time(kScrapes - 2)));
  EXPECT_EQ(get("/api/v1/gpus/" + uuid(1) + "/telemetry").at("count").as_int64(), 6 * kScrapes);
}

TEST_P(ApiContract, MetricsOrderAndRangeAreChosen) {
  const std::string base = "/api/v1/gpus/" + uuid(2) + "/telemetry?";
  const auto chosen =
      get(base +
          "metric_name=DCGM_FI_DEV_GPU_TEMP_CELSIUS&metric_name=DCGM_FI_DEV_GPU_UTIL"
          "&order=asc&start_time=" +
          time_text(scrape_time(3)) + "&end_time=" + time_text(scrape_time(4)));
  EXPECT_EQ(chosen.at("count").as_int64(), 4);
  const auto& samples = chosen.at("telemetry").as_array();
  EXPECT_EQ(samples.at(0).at("metric_name").as_string(), "DCGM_FI_DEV_GPU_TEMP");
  EXPECT_EQ(number(samples.at(1).at("value")), 3);
  EXPECT_EQ(number(samples.at(3).at("value")), 4);
  EXPECT_EQ(get(base + "metric_name=never_heard_of").at("count").as_int64(), 0);
  EXPECT_EQ(problem(base + "order=up", 400), "order: 'up' is none of desc, asc");
  problem(base + "metric_name=", 400);
  problem(base + "start_time=" + time_text(now()) + "&end_time=" + time_text(scrape_time(0)), 400);
}

TEST_P(ApiContract, SeriesHoldTimesAndValuesOfEachMetric) {
  const auto series = get("/api/v1/gpus/" + uuid(1) +
                          "/telemetry?shape=series&order=asc&metric_name=DCGM_FI_DEV_GPU_UTIL"
                          "&metric_name=DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION&start_time=" +
                          time_text(scrape_time(kScrapes - 2)));
  const auto ms = [&](int i) { return std::to_string(unix_milliseconds(scrape_time(i))); };
  const std::string times = "[" + ms(kScrapes - 2) + "," + ms(kScrapes - 1) + "]";
  EXPECT_EQ(series.at("count").as_int64(), 4);
  EXPECT_EQ(text(series.at("series")),
            R"([{"metric_name":"DCGM_FI_DEV_GPU_UTIL","unit":"%","kind":"gauge","times":)" + times +
                R"(,"values":[58,59]},{"metric_name":"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",)"
                R"("unit":"mJ","kind":"counter","times":)" +
                times + R"(,"values":[280000,290000]}])");
  EXPECT_NE(
      problem("/api/v1/gpus/" + uuid(1) + "/telemetry?shape=round", 400).find("points, series"),
      std::string::npos);
}

TEST_P(ApiContract, BucketsAverageGaugesAndTellTheRateOfCounters) {
  const std::string base =
      "/api/v1/gpus/" + uuid(1) + "/telemetry?shape=series&order=asc&step=60s&metric_name=";
  const auto values = [&](const std::string& query) {
    return get(base + query).at("series").at(0).at("values");
  };
  // Scrape 59 is now, a whole minute: it is alone in the last bucket.
  const auto gauge = get(base + "DCGM_FI_DEV_GPU_UTIL").at("series").at(0);
  EXPECT_EQ(numbers(gauge.at("values")), "[2,7.5,13.5,19.5,25.5,31.5,37.5,43.5,49.5,55.5,59]");
  EXPECT_EQ(gauge.at("times").at(1).as_int64(), unix_milliseconds(now() - std::chrono::minutes{9}));
  EXPECT_EQ(numbers(values("DCGM_FI_DEV_GPU_UTIL&agg=max")), "[4,10,16,22,28,34,40,46,52,58,59]");
  EXPECT_EQ(numbers(values("DCGM_FI_DEV_GPU_UTIL&agg=min")), "[0,5,11,17,23,29,35,41,47,53,59]");
  EXPECT_EQ(numbers(values("DCGM_FI_DEV_GPU_UTIL&agg=last")), "[4,10,16,22,28,34,40,46,52,58,59]");
  EXPECT_EQ(numbers(values("DCGM_FI_DEV_GPU_UTIL&agg=count")), "[5,6,6,6,6,6,6,6,6,6,1]");
  // 10,000 mJ in 10 s; begun again at 0 with scrape 30.
  const auto rate = get(base + "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION").at("series").at(0);
  EXPECT_EQ(rate.at("unit").as_string(), "mJ/s");
  EXPECT_EQ(number(rate.at("values").at(0)), 1000);
  EXPECT_NEAR(number(rate.at("values").at(5)), 50'000.0 / 60, 1e-9);
  EXPECT_EQ(number(rate.at("values").at(10)), 1000);
  EXPECT_EQ(numbers(values("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION&agg=increase")),
            "[40000,60000,60000,60000,60000,50000,60000,60000,60000,60000,10000]");
}

TEST_P(ApiContract, BucketsComeInPagesToo) {
  const std::string base = "/api/v1/gpus/" + uuid(1) + "/telemetry?step=60s&limit=5";
  for (const std::string order : {"&order=asc", "&order=desc"}) {
    const auto whole =
        get("/api/v1/gpus/" + uuid(1) + "/telemetry?step=60s" + order).at("telemetry").as_array();
    EXPECT_EQ(whole.size(), 66U);
    json_lib::array joined;
    std::string cursor;
    do {
      const auto page = get(base + order + (cursor.empty() ? "" : "&cursor=" + cursor));
      for (const auto& each : page.at("telemetry").as_array()) joined.push_back(each);
      const auto* const next = page.as_object().if_contains("next_cursor");
      cursor = next != nullptr ? std::string(next->as_string()) : std::string();
    } while (!cursor.empty() && joined.size() < 100);
    EXPECT_EQ(text(joined), text(whole));
  }
}

TEST_P(ApiContract, PagesOfSeriesHaveWhatThePagesOfPointsHave) {
  using Sample = std::tuple<std::string, std::int64_t, double>;
  const std::string base = "/api/v1/gpus/" + uuid(1) + "/telemetry?";
  for (const std::string question : {"order=asc&limit=7", "order=desc&limit=7", "limit=120",
                                     "order=asc&step=60s&limit=5", "step=60s&limit=6"}) {
    SCOPED_TRACE(question);
    std::string cursor;
    int pages = 0;
    do {
      const std::string target = base + question + (cursor.empty() ? "" : "&cursor=" + cursor);
      const auto points = get(target);
      const auto series = get(target + "&shape=series");
      std::set<Sample> of_points;
      for (const auto& each : points.at("telemetry").as_array()) {
        const auto time = parse_rfc3339(each.at("timestamp").as_string());
        of_points.emplace(each.at("metric_name").as_string(), unix_milliseconds(*time),
                          number(each.at("value")));
      }
      std::set<Sample> of_series;
      for (const auto& each : series.at("series").as_array()) {
        const auto& times = each.at("times").as_array();
        EXPECT_EQ(times.size(), each.at("values").as_array().size());
        for (std::size_t i = 0; i < times.size(); ++i) {
          of_series.emplace(each.at("metric_name").as_string(), times[i].as_int64(),
                            number(each.at("values").at(i)));
        }
      }
      EXPECT_EQ(of_series, of_points);
      EXPECT_EQ(series.at("count"), points.at("count"));
      const auto* const next = points.as_object().if_contains("next_cursor");
      const auto* const same = series.as_object().if_contains("next_cursor");
      ASSERT_EQ(next == nullptr, same == nullptr);
      cursor = next != nullptr ? std::string(next->as_string()) : std::string();
      EXPECT_EQ(same != nullptr ? std::string(same->as_string()) : std::string(), cursor);
    } while (!cursor.empty() && ++pages < 100);
    EXPECT_GT(pages, 1);
  }
}

TEST_P(ApiContract, LimitsOfBucketsSayWhatWouldDo) {
  const std::string base = "/api/v1/gpus/" + uuid(1) + "/telemetry?";
  EXPECT_EQ(problem(base + "step=10ms", 400),
            "step: 10ms makes 59001 buckets of this range; at most 11000, so take 1s or a shorter "
            "range");
  EXPECT_EQ(problem(base + "agg=max", 400),
            "agg: says how buckets are made, so it needs a step, as in 60s");
  problem(base + "step=0", 400);
  problem(base + "step=1us", 400);
  problem(base + "step=soon", 400);
  problem(base + "step=60s&agg=median", 400);
}

TEST_P(ApiContract, RowsComeAsCsvAndNdjsonWithoutALimit) {
  constexpr int kMany = 15'000;
  for (int begin = 0; begin < kMany; begin += 1000) {
    storage::BatchBuilder builder;
    for (int i = begin; i < begin + 1000; ++i) {
      builder.scrape(storage::numbered_gpu(3),
                     scrape_time(0) - std::chrono::milliseconds{500 * (i + 1)},
                     {{"DCGM_FI_DEV_GPU_TEMP", 60.25}});
    }
    write(builder.batch());
  }
  const std::string target = "/api/v1/gpus/" + uuid(3) + "/telemetry?order=asc";
  const auto lines = [](const std::string& body) {
    return std::count(body.begin(), body.end(), '\n');
  };
  const auto csv = ask(target, "Accept: text/csv\r\n");
  EXPECT_EQ(csv.status, 200);
  EXPECT_EQ(csv.header("Content-Type"), "text/csv; charset=utf-8; header=present");
  EXPECT_EQ(lines(csv.body), 1 + kMany + 6 * kScrapes);
  const std::string first =
      time_text(scrape_time(0) - std::chrono::milliseconds{500 * kMany}) + "," + uuid(3);
  EXPECT_TRUE(csv.body.starts_with("timestamp,gpu_uuid,metric_name,value\r\n" + first +
                                   ",DCGM_FI_DEV_GPU_TEMP,60.25\r\n"))
      << csv.body.substr(0, 300);
  const auto ndjson = ask(target, "Accept: application/x-ndjson, application/json;q=0.5\r\n");
  EXPECT_EQ(ndjson.header("Content-Type"), "application/x-ndjson");
  EXPECT_EQ(lines(ndjson.body), kMany + 6 * kScrapes);
  const auto row = json_lib::parse(ndjson.body.substr(0, ndjson.body.find('\n')));
  EXPECT_EQ(row.at("gpu_uuid").as_string(), uuid(3));
  EXPECT_EQ(number(row.at("value")), 60.25);
  EXPECT_EQ(row.at("metric_name").as_string(), "DCGM_FI_DEV_GPU_TEMP");
  // A limit holds when there is one.
  const auto page = ask(target + "&limit=2", "Accept: text/csv\r\n");
  EXPECT_EQ(lines(page.body), 3);
  EXPECT_NE(page.header("Link"), "(none)");
  EXPECT_EQ(ask(target + "&shape=series", "Accept: text/csv\r\n").status, 400);
}

TEST_P(ApiContract, PagesStayTrueWhileOthersWrite) {
  std::mt19937 random(7);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    std::mt19937 times(11);
    for (int batch = 0; batch < 400 && !stop; ++batch) {
      storage::BatchBuilder builder;
      for (int i = 0; i < 5; ++i) {
        // Anywhere in the range, and newer than all of it.
        const auto ago = std::chrono::milliseconds{static_cast<int>(times() % 700'000) - 60'000};
        builder.scrape(storage::numbered_gpu(1), now() - ago, {{"new_metric", 1}});
      }
      write(builder.batch());
    }
  });
  for (const std::string order : {"asc", "desc"}) {
    std::map<std::string, int> seen;
    std::string cursor;
    int pages = 0;
    do {
      // The order of the answer, and no key twice, hold for each page and across them.
      const std::string limit = std::to_string(1 + random() % 40);
      const auto page = get("/api/v1/gpus/" + uuid(1) + "/telemetry?order=" + order +
                            "&limit=" + limit + (cursor.empty() ? "" : "&cursor=" + cursor));
      for (const auto& each : page.at("telemetry").as_array()) {
        ++seen[std::string(each.at("timestamp").as_string()) + " " +
               std::string(each.at("metric_name").as_string())];
      }
      const auto* const next = page.as_object().if_contains("next_cursor");
      cursor = next != nullptr ? std::string(next->as_string()) : std::string();
    } while (!cursor.empty() && ++pages < 5000);
    EXPECT_TRUE(cursor.empty());
    int whole = 0;
    for (const auto& [key, times] : seen) {
      EXPECT_EQ(times, 1) << key;
      if (key.find("new_metric") == std::string::npos) ++whole;
    }
    EXPECT_EQ(whole, 6 * kScrapes);
  }
  stop = true;
  writer.join();
}

TEST_P(ApiContract, AFleetsMetricIsAddedUpByGroup) {
  const std::string base =
      "/api/v1/fleet/telemetry?step=60s&metric_name=DCGM_FI_DEV_POWER_USAGE&start_time=" +
      time_text(now() - std::chrono::minutes{2}) +
      "&end_time=" + time_text(now() - std::chrono::seconds{1});
  const auto by = [&](const std::string& query) {
    std::string all;
    const auto answer = get(base + query);
    for (const auto& series : answer.at("series").as_array()) {
      all += std::string(series.at("key").as_string()) + " " + text(series.at("gpus")) + " " +
             numbers(series.at("values")) + "; ";
    }
    EXPECT_EQ(answer.at("count").as_int64(),
              static_cast<std::int64_t>(answer.at("series").as_array().size()));
    return all;
  };
  EXPECT_EQ(by("&by=hostname"), "node-1 2 [150.5,150.5]; node-2 2 [350.5,350.5]; ");
  EXPECT_EQ(by("&by=hostname&agg=sum"), "node-1 2 [301,301]; node-2 2 [701,701]; ");
  EXPECT_EQ(by("&by=model_name&agg=max"),
            "NVIDIA A100 1 [400.5,400.5]; NVIDIA H100 3 [300.5,300.5]; ");
  EXPECT_EQ(by("&by=all&agg=count"), "all 4 [24,24]; ");
  EXPECT_EQ(by("&hostname=node-1"),
            uuid(1) + " 1 [100.5,100.5]; " + uuid(2) + " 1 [200.5,200.5]; ");
  EXPECT_EQ(by("&by=all&agg=last&state=live"), "all 4 [250.5,250.5]; ");
  EXPECT_EQ(by("&state=gone"), "");
  const auto shape = get(base + "&by=gpu");
  EXPECT_EQ(shape.at("metric_name").as_string(), "DCGM_FI_DEV_POWER_USAGE");
  EXPECT_EQ(shape.at("unit").as_string(), "W");
  EXPECT_EQ(shape.at("kind").as_string(), "gauge");
  EXPECT_EQ(number(shape.at("step_seconds")), 60);
  EXPECT_EQ(shape.at("by").as_string(), "gpu");
  EXPECT_EQ(shape.at("series").at(3).at("hostname").as_string(), "node-2");
  EXPECT_EQ(shape.at("series").at(0).at("times").at(0).as_int64(),
            unix_milliseconds(now() - std::chrono::minutes{2}));
}

TEST_P(ApiContract, GroupsByNamespaceAreTrueToTheAttributionAtEachTime) {
  // GPU 1 went from pod x to y after scrape 29, at 4:50 before now.
  const std::string base =
      "/api/v1/fleet/telemetry?step=5m&metric_name=DCGM_FI_DEV_GPU_UTIL"
      "&agg=count&start_time=" +
      time_text(now() - std::chrono::minutes{15}) + "&by=";
  const auto by = [&](const std::string& query) {
    std::map<std::string, double> counts;
    const auto answer = get(base + query);
    for (const auto& series : answer.at("series").as_array()) {
      double count = 0;
      for (const auto& value : series.at("values").as_array()) count += number(value);
      counts[std::string(series.at("key").as_string()) + "/" + text(series.at("gpus"))] = count;
    }
    return counts;
  };
  using Counts = std::map<std::string, double>;
  EXPECT_EQ(by("namespace"), (Counts{{"/4", 60}, {"team-x/3", 150}, {"team-y/1", 30}}));
  EXPECT_EQ(by("pod&namespace=team-x"), (Counts{{"x/3", 150}}));
  EXPECT_EQ(by("gpu&pod=x&hostname=node-1"), (Counts{{uuid(1) + "/1", 30}, {uuid(2) + "/1", 60}}));
  EXPECT_EQ(by("all&namespace=team-y&namespace=team-x"), (Counts{{"all/3", 180}}));
  // At most one sample is doubled or lost at the seam.
  const auto pods = get(base + "pod").at("series");
  EXPECT_EQ(pods.at(1).at("key").as_string(), "x");
  EXPECT_EQ(pods.at(1).at("namespace").as_string(), "team-x");
}

TEST_P(ApiContract, ACountersRatesAddUpOverTheFleet) {
  const auto answer =
      get("/api/v1/fleet/telemetry?step=60s&by=all&metric_name=DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
          "&start_time=" +
          time_text(now() - std::chrono::minutes{9}));
  EXPECT_EQ(answer.at("unit").as_string(), "mJ/s");
  const auto& values = answer.at("series").at(0).at("values").as_array();
  ASSERT_EQ(values.size(), 10U);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(number(values[i]), i == 4 ? 4 * 50'000.0 / 60 : 4000, 1e-6) << i;
  }
}

TEST_P(ApiContract, AFleetQuestionThatIsIncompleteOrTooLargeIsRefused) {
  const std::string base = "/api/v1/fleet/telemetry?";
  const std::string metric = "metric_name=DCGM_FI_DEV_GPU_UTIL&";
  EXPECT_EQ(problem(base + "step=60s", 400),
            "metric_name: missing; say one, such as DCGM_FI_DEV_GPU_UTIL");
  EXPECT_EQ(problem(base + metric, 400), "step: missing; say how long a bucket is, such as 60s");
  EXPECT_NE(
      problem(base + metric + "metric_name=DCGM_FI_DEV_GPU_TEMP&step=60s", 400).find("at most 1"),
      std::string::npos);
  EXPECT_NE(problem(base + metric +
                        "step=1s&start_time=2025-01-01T00:00:00Z"
                        "&end_time=2025-01-02T00:00:00Z",
                    400)
                .find("so take 10s"),
            std::string::npos);
  EXPECT_NE(
      problem(base + metric + "step=60s&by=rack", 400).find("'rack' is none of gpu, hostname"),
      std::string::npos);
}

}  // namespace
}  // namespace gpu_telemetry::services
