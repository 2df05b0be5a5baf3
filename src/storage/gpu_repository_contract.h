// What every GpuRepository promises, as tests (gpu_repository_contract.cc); used as
// telemetry_repository_contract.h is.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "domain/clock.h"
#include "storage/batch_builder.h"
#include "storage/gpu_repository.h"

namespace gpu_telemetry::storage {

// An empty repository and what it stands on.
class GpuRepositoryHarness {
 public:
  virtual ~GpuRepositoryHarness() = default;
  virtual GpuRepository& repository() = 0;
  // Closes the repository and opens it again on the same data, as a restart would.
  virtual void reopen() = 0;
};

struct GpuRepositoryFactory {
  std::string name;
  std::function<std::unique_ptr<GpuRepositoryHarness>()> create;
  friend std::ostream& operator<<(std::ostream& out, const GpuRepositoryFactory& factory) {
    return out << factory.name;
  }
};

class GpuRepositoryContract : public testing::TestWithParam<GpuRepositoryFactory> {
 protected:
  GpuRepositoryContract() : harness_(GetParam().create()) {
    const auto now = unix_milliseconds(system_clock().now());
    base_ = from_unix_milliseconds((now - 3'600'000) / 60'000 * 60'000);
  }

  GpuRepository& repository() { return harness_->repository(); }
  Timestamp at(std::int64_t seconds) const { return base_ + std::chrono::seconds{seconds}; }

  static Gpu gpu_on(std::uint32_t n, const std::string& pod, const std::string& host = "node-1") {
    Gpu gpu;
    gpu.uuid = numbered_gpu(n);
    gpu.device_id = "nvidia" + std::to_string(n);
    gpu.gpu_index = std::to_string(n);
    gpu.model_name = n % 2 == 0 ? "Model Even" : "Model Odd";
    gpu.hostname = host;
    gpu.attribution = {"main", pod, pod.empty() ? "" : "team-" + pod};
    gpu.labels = {{"DCGM_FI_DRIVER_VERSION", "550.1"}, {"note", "a \"quoted\" = text"}};
    return gpu;
  }

  void observe(const std::vector<std::tuple<Gpu, std::int64_t, std::int64_t>>& seen) {
    std::vector<GpuObservation> observations;
    for (const auto& [gpu, from, to] : seen) {
      observations.push_back({std::make_shared<const Gpu>(gpu), at(from), at(to)});
    }
    const auto observed = repository().observe(observations);
    ASSERT_TRUE(observed) << observed.error();
  }

  std::vector<std::string> pods(std::uint32_t n, Timestamp start, Timestamp end) {
    const auto intervals = repository().attribution(numbered_gpu(n), start, end);
    EXPECT_TRUE(intervals);
    std::vector<std::string> found;
    if (!intervals) return found;
    for (const auto& interval : *intervals) {
      found.push_back(interval.who.pod + " " +
                      std::to_string((interval.start - base_).count() / 1000) + ".." +
                      std::to_string((interval.end - base_).count() / 1000));
    }
    return found;
  }
  std::vector<std::string> pods(std::uint32_t n) {
    return pods(n, Timestamp::min(), Timestamp::max());
  }

  std::vector<GpuUuid> listed(const GpuFilter& filter, std::uint64_t expected_total) {
    const auto page = repository().list(filter, std::nullopt, 0);
    EXPECT_TRUE(page);
    std::vector<GpuUuid> uuids;
    if (!page) return uuids;
    EXPECT_EQ(page->total, expected_total);
    for (const GpuRecord& record : page->gpus) uuids.push_back(record.gpu.uuid);
    return uuids;
  }

  void now_and_reopened(const std::function<void()>& check) {
    check();
    harness_->reopen();
    SCOPED_TRACE("reopened");
    check();
  }

  std::unique_ptr<GpuRepositoryHarness> harness_;
  Timestamp base_;
};

}  // namespace gpu_telemetry::storage
