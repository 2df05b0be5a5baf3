#include "services/api_gateway/api_gateway.h"

#include <gtest/gtest.h>

#include <optional>

#include "http/raw_connection.h"
#include "services/pipeline_test_support.h"
#include "storage/row_cursor.h"

namespace gpu_telemetry::services {
namespace {

using http::RawConnection;
using std::chrono::milliseconds;
using testing::MapStorage;

// So many samples of one metric, newest first.
class CountdownCursor final : public storage::RowCursor {
 public:
  explicit CountdownCursor(std::uint64_t samples) : left_(samples) {}
  Result<std::span<const storage::StoredSample>> next() override {
    block_.clear();
    for (; left_ > 0 && block_.size() < 1000; --left_) {
      const Timestamp time = kEarliestTimestamp + Milliseconds{static_cast<std::int64_t>(left_)};
      block_.push_back({time, 0, 0.5});
    }
    return std::span<const storage::StoredSample>(block_);
  }
  std::span<const std::string> metric_names() const override { return names_; }

 private:
  std::uint64_t left_;
  std::vector<storage::StoredSample> block_;
  const std::vector<std::string> names_{"DCGM_FI_DEV_GPU_TEMP"};
};

const GpuUuid kSlow(GpuUuid::Kind::kGpu, {1});
const GpuUuid kBig(GpuUuid::Kind::kGpu, {2});

// Takes its time to find one GPU, and has much to say about another.
class SlowStorage : public MapStorage {
 public:
  Result<GpuRecord> find(const GpuUuid& uuid) override {
    std::unique_lock lock(mutex_);
    if (uuid == kSlow) {
      asked_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return let_go_; });
    }
    if (uuid == kBig) return GpuRecord{};
    return not_found("no GPU " + uuid.to_string());
  }
  Result<std::unique_ptr<storage::SampleCursor>> query(const storage::SampleQuery& query) override {
    return std::unique_ptr<storage::SampleCursor>(std::make_unique<CountdownCursor>(query.limit));
  }

  // Whether the slow question has come by then.
  bool wait_until_asked(milliseconds longest = std::chrono::seconds{20}) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, longest, [this] { return asked_; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    let_go_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  bool let_go_ = false;
};

class ApiGatewayTest : public ::testing::Test {
 protected:
  void start(ApiGatewayOptions options = {}) {
    options.server.port = 0;
    options.server.threads = 1;
    options.server.log_requests = false;
    auto gateway =
        ApiGateway::listen(options, storage_, storage_, system_clock(), health_, metrics_);
    ASSERT_TRUE(gateway) << gateway.error();
    gateway_ = std::move(*gateway);
    gateway_->start();
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: test\r\n\r\n";
  }

  SlowStorage storage_;
  observability::Health health_;
  observability::Metrics metrics_;
  std::unique_ptr<ApiGateway> gateway_;
};

TEST_F(ApiGatewayTest, MayGoWhileStorageIsStillBusyWithAQuestion) {
  start();
  RawConnection connection(gateway_->port());
  ASSERT_TRUE(connection.send(get("/api/v1/gpus/" + kSlow.to_string())));
  ASSERT_TRUE(storage_.wait_until_asked());
  gateway_->stop(milliseconds{0});
  std::thread release([this] { storage_.let_go(); });
  gateway_.reset();
  release.join();
}

TEST_F(ApiGatewayTest, FinishesAnAnswerThatHasBegunThoughAllReadersAreBusy) {
  ApiGatewayOptions options;
  options.readers = 1;
  options.max_waiting = 0;
  start(options);
  RawConnection big(gateway_->port(), 256 * 1024);
  ASSERT_TRUE(big.send(get("/api/v1/gpus/" + kBig.to_string() + "/telemetry?limit=100000")));
  ASSERT_TRUE(big.receive());  // the first piece is on its way
  std::optional<RawConnection> slow;
  do {  // answered 503 while the big answer's next piece is being read
    slow.emplace(gateway_->port());
    ASSERT_TRUE(slow->send(get("/api/v1/gpus/" + kSlow.to_string())));
  } while (!storage_.wait_until_asked(milliseconds{100}));
  constexpr std::size_t kMostOfThePiece = 2'000'000;
  while (big.received() < kMostOfThePiece && big.receive()) {
  }
  storage_.let_go();
  EXPECT_TRUE(big.answer(false).complete);
}

TEST_F(ApiGatewayTest, TheLinkToTheNextPageIsAUrlHoweverTheTimeWasWritten) {
  start();
  RawConnection connection(gateway_->port());
  ASSERT_TRUE(connection.send(get("/api/v1/gpus/" + kBig.to_string() +
                                  "/telemetry?limit=1&start_time=2001-09-10%2000:00:00%2B00:00")));
  const auto answer = connection.answer(false);
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.header("Link").find("start_time=2001-09-10%2000:00:00%2B00:00&"),
            std::string::npos)
      << answer.header("Link");
}

}  // namespace
}  // namespace gpu_telemetry::services
