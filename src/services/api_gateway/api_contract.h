// What the API answers, whichever store is behind it, as tests: of its subjects, in *_contract.cc.
// A test executable links api_contract and instantiates them for its store:
//
//   INSTANTIATE_TEST_SUITE_P(Embedded, ApiContract, testing::Values(ApiStoreFactory{...}));
//
// Four GPUs on two hosts were scraped each 10 s for ten minutes until `now()`; the clock stands
// still.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/raw_connection.h"
#include "services/api_gateway/api_gateway.h"
#include "storage/batch_builder.h"

namespace gpu_telemetry::services {

namespace json_lib = boost::json;

// Empty repositories and what they stand on.
class ApiStore {
 public:
  virtual ~ApiStore() = default;
  virtual storage::TelemetryRepository& telemetry() = 0;
  virtual storage::GpuRepository& gpus() = 0;
};

struct ApiStoreFactory {
  std::string name;
  std::function<std::unique_ptr<ApiStore>()> create;
  friend std::ostream& operator<<(std::ostream& out, const ApiStoreFactory& factory) {
    return out << factory.name;
  }
};

class ApiContract : public ::testing::TestWithParam<ApiStoreFactory> {
 protected:
  static constexpr int kScrapes = 60;

  ApiContract()
      : store_(GetParam().create()),
        clock_(std::chrono::floor<std::chrono::minutes>(system_clock().now())) {}

  void SetUp() override {
    fill();
    start({});
  }

  void start(ApiGatewayOptions options) {
    gateway_.reset();
    options.server.port = 0;
    options.server.threads = 1;
    options.server.log_requests = false;
    auto gateway = ApiGateway::listen(std::move(options), store_->telemetry(), store_->gpus(),
                                      clock_, health_, metrics_);
    ASSERT_TRUE(gateway) << gateway.error();
    gateway_ = std::move(*gateway);
    gateway_->start();
  }

  Timestamp now() const { return clock_.now(); }
  // Of scrape 0 (the oldest) to kScrapes - 1, which is now.
  Timestamp scrape_time(int i) const {
    return now() - std::chrono::seconds{10 * (kScrapes - 1 - i)};
  }
  static std::string uuid(std::uint32_t n) { return storage::numbered_gpu(n).to_string(); }

  static std::shared_ptr<const Gpu> gpu(std::uint32_t n, const std::string& pod) {
    auto gpu = std::make_shared<Gpu>();
    gpu->uuid = storage::numbered_gpu(n);
    gpu->device_id = "nvidia" + std::to_string(n % 2);
    gpu->gpu_index = std::to_string(n % 2);
    gpu->model_name = n == 4 ? "NVIDIA A100" : "NVIDIA H100";
    gpu->hostname = n <= 2 ? "node-1" : "node-2";
    if (!pod.empty()) gpu->attribution = {"main", pod, "team-" + pod};
    gpu->labels = {{"DCGM_FI_DRIVER_VERSION", "550.54"}};
    return gpu;
  }

  void write(const TelemetryBatch& batch) {
    const storage::BatchToWrite to_write{&batch, {}};
    const auto written = store_->telemetry().write({&to_write, 1});
    ASSERT_TRUE(written) << written.error();
  }
  void observe(std::uint32_t n, const std::string& pod, Timestamp from, Timestamp to) {
    const storage::GpuObservation seen{gpu(n, pod), from, to};
    const auto observed = store_->gpus().observe({&seen, 1});
    ASSERT_TRUE(observed) << observed.error();
  }

  void fill() {
    storage::BatchBuilder builder;
    for (int i = 0; i < kScrapes; ++i) {
      for (std::uint32_t n = 1; n <= 4; ++n) {
        builder.scrape(storage::numbered_gpu(n), scrape_time(i),
                       {{"DCGM_FI_DEV_GPU_TEMP", 40.0 + 10 * n},
                        {"DCGM_FI_DEV_GPU_UTIL", static_cast<double>(i)},
                        {"DCGM_FI_DEV_POWER_USAGE", 100.0 * n + 0.5},
                        {"DCGM_FI_DEV_FB_USED", 1000},
                        {"DCGM_FI_DEV_FB_FREE", 3000},
                        // 1,000 mJ a second, begun again after scrape 29.
                        {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 10'000.0 * (i % 30)}});
      }
    }
    write(builder.batch());
    for (std::uint32_t n = 1; n <= 4; ++n) {
      // GPU 1 was given from x to y after scrape 29; GPU 4 is nobody's.
      const std::string pod = n == 4 ? "" : "x";
      observe(n, pod, scrape_time(0), scrape_time(n == 1 ? 29 : kScrapes - 1));
    }
    observe(1, "y", scrape_time(30), scrape_time(kScrapes - 1));
  }

  http::RawAnswer ask(const std::string& target, const std::string& headers = {},
                      const std::string& method = "GET", const std::string& body = {}) {
    http::RawConnection connection(gateway_->port());
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers;
    if (!body.empty()) {
      request +=
          "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n";
    }
    EXPECT_TRUE(connection.send(request + "\r\n" + body));
    http::RawAnswer answer = connection.answer(method == "HEAD");
    EXPECT_TRUE(answer.complete) << target;
    return answer;
  }

  // The document of a 200.
  json_lib::value get(const std::string& target) {
    const http::RawAnswer answer = ask(target);
    EXPECT_EQ(answer.status, 200) << target << ": " << answer.body;
    EXPECT_EQ(answer.header("Content-Type"), "application/json");
    boost::system::error_code error;
    auto document = json_lib::parse(answer.body, error);
    EXPECT_FALSE(error) << target << ": " << answer.body.substr(0, 500);
    return document;
  }

  // The detail of a problem.
  std::string problem(const std::string& target, int status) {
    const http::RawAnswer answer = ask(target);
    EXPECT_EQ(answer.status, status) << target << ": " << answer.body.substr(0, 500);
    if (answer.status != status) return {};
    EXPECT_EQ(answer.header("Content-Type"), "application/problem+json");
    const auto document = json_lib::parse(answer.body);
    EXPECT_EQ(document.at("status").as_int64(), status);
    return std::string(document.at("detail").as_string());
  }

  static std::vector<std::string> uuids(const json_lib::value& document) {
    std::vector<std::string> all;
    for (const auto& each : document.at("gpus").as_array()) {
      all.emplace_back(each.at("uuid").as_string());
    }
    return all;
  }
  static std::string text(const json_lib::value& value) { return json_lib::serialize(value); }
  // A list of numbers, in the shortest form: "[1.5,2]".
  static std::string numbers(const json_lib::value& list) {
    std::string all = "[";
    for (const auto& each : list.as_array()) {
      if (all.size() > 1) all += ',';
      char number[32];
      std::snprintf(number, sizeof number, "%.12g", each.to_number<double>());
      all += number;
    }
    return all + "]";
  }
  // Any JSON number.
  static double number(const json_lib::value& value) { return value.to_number<double>(); }

  std::unique_ptr<ApiStore> store_;
  ManualClock clock_;
  observability::Health health_;
  observability::Metrics metrics_;
  std::unique_ptr<ApiGateway> gateway_;
};

}  // namespace gpu_telemetry::services
