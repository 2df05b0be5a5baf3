// A store on a simulated disk or a real one, for tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "io/file_system.h"
#include "io/simulated_file_system.h"
#include "storage/batch_builder.h"
#include "storage/embedded/embedded_store.h"
#include "storage/embedded/plain_batch_codec.h"

namespace gpu_telemetry::storage::embedded {

inline const PlainBatchCodec& plain_codec() {
  static const PlainBatchCodec codec;
  return codec;
}

// A folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "store-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A store without threads on a disk in memory, and a clock that stands still.
class SimulatedStore {
 public:
  static constexpr std::int64_t kStart = 1'760'000'000'000;  // 2025-10-09

  SimulatedStore() {
    options_.path = "/store";
    options_.head_size = 256_KiB;
    options_.codec = &plain_codec();
    options_.background = false;
    options_.files = &disk_;
    options_.clock = &clock_;
  }

  EmbeddedStoreOptions& options() { return options_; }
  io::SimulatedFileSystem& disk() { return disk_; }
  ManualClock& clock() { return clock_; }
  const OpenReport& report() const { return report_; }
  EmbeddedStore& store() { return *store_; }
  bool is_open() const { return store_ != nullptr; }

  Result<void> try_open() {
    store_.reset();
    report_ = {};
    auto opened = EmbeddedStore::open(options_, &report_);
    if (!opened) return opened.error();
    store_ = std::move(*opened);
    return {};
  }
  void open() {
    const auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error();
  }
  void close() { store_.reset(); }

  Result<void> write(const TelemetryBatch& batch) {
    const BatchToWrite to_write{&batch, {}};
    return store_->write({&to_write, 1});
  }

 private:
  io::SimulatedFileSystem disk_;
  ManualClock clock_{from_unix_milliseconds(kStart)};
  EmbeddedStoreOptions options_;
  OpenReport report_;
  std::unique_ptr<EmbeddedStore> store_;
};

using Row = std::tuple<std::int64_t, std::string, double>;  // Unix ms, metric, value

// All samples of the GPU, oldest first. An error ends the rows and is returned in `error`.
inline std::vector<Row> rows_of(TelemetryRepository& repository, SampleQuery query,
                                std::optional<Error>* error = nullptr) {
  std::vector<Row> rows;
  auto cursor = repository.query(query);
  EXPECT_TRUE(cursor);
  if (!cursor) return rows;
  while (true) {
    const auto block = (*cursor)->next();
    if (!block) {
      if (error != nullptr) {
        *error = block.error();
      } else {
        ADD_FAILURE() << block.error();
      }
      return rows;
    }
    if (block->empty()) return rows;
    for (const StoredSample& sample : *block) {
      rows.emplace_back(unix_milliseconds(sample.timestamp),
                        (*cursor)->metric_names()[sample.metric], sample.value);
    }
  }
}

inline std::vector<Row> rows_of(TelemetryRepository& repository, const GpuUuid& gpu,
                                std::optional<Error>* error = nullptr) {
  SampleQuery query;
  query.gpu = gpu;
  query.order = Order::kOldestFirst;
  return rows_of(repository, query, error);
}

// A simulated store, and the GPU that the tests write of.
class EmbeddedStoreTest : public testing::Test {
 protected:
  void write(std::int64_t time, double value, const char* metric = "a") {
    const auto written = simulated_.write(
        BatchBuilder().scrape(gpu_, from_unix_milliseconds(time), {{metric, value}}).batch());
    ASSERT_TRUE(written) << written.error();
  }
  void seal() {
    const auto sealed = simulated_.store().seal();
    ASSERT_TRUE(sealed) << sealed.error();
  }
  void maintain() {
    const auto maintained = simulated_.store().maintain();
    ASSERT_TRUE(maintained) << maintained.error();
  }
  std::vector<std::string> files(const std::string& folder = "/store/files") {
    const auto names = simulated_.disk().list(folder);
    return names ? *names : std::vector<std::string>();
  }
  std::vector<Row> rows() { return rows_of(simulated_.store(), gpu_); }
  // Then the file cannot be opened.
  void damage_footers(const std::string& name) {
    const std::string path = "/store/files/" + name;
    const auto content = io::read_file(simulated_.disk(), path, 1 << 20);
    ASSERT_TRUE(content) << content.error();
    for (const std::size_t from_end : {1, 89}) {
      simulated_.disk().damage(path, content->size() - from_end);
    }
  }

  static constexpr std::int64_t kStart = SimulatedStore::kStart;
  SimulatedStore simulated_;
  const GpuUuid gpu_ = numbered_gpu(1);
};

}  // namespace gpu_telemetry::storage::embedded
