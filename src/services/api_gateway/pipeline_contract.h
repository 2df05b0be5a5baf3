// The API's answers about the pipeline and its live tail, as tests for every store.
#pragma once

#include "queue/memory/memory_queue.h"
#include "services/api_gateway/api_contract.h"
#include "services/pipeline_test_support.h"

namespace gpu_telemetry::services {

// With a queue that has one message in flight, one ready, and one dead.
class PipelineContract : public ApiContract {
 protected:
  void SetUp() override {
    ApiContract::SetUp();
    queue::QueueOptions queue_options;
    queue_ = queue::make_memory_queue(queue_options, clock_, loop_.executor());
    ApiGatewayOptions options;
    options.pipeline.queue = queue_.get();
    options.pipeline.samples_stored = [this] { return std::optional<std::uint64_t>(stored_); };
    start(std::move(options));
    std::vector<queue::OutgoingMessage> messages(3);
    for (auto& message : messages) message.payload = std::make_shared<std::string>("a payload");
    ASSERT_TRUE(loop_.await(queue_->publish("telemetry", messages)));
    queue::FetchRequest fetch{"telemetry", "collectors", "test", 2, {}};
    const auto fetched = loop_.await(queue_->fetch(fetch));
    ASSERT_TRUE(fetched && fetched->size() == 2);
    queue::SettleRequest dead{"telemetry", "collectors", {(*fetched)[0].receipt}};
    queue::NackOptions nack;
    nack.dead_letter_reason = "not ours";
    dead_id_ = (*fetched)[0].message_id;
    ASSERT_TRUE(loop_.await(queue_->nack(dead, nack)));
  }
  void TearDown() override {
    gateway_.reset();
    queue_->shut_down();
  }

  testing::RunningContext loop_;
  std::shared_ptr<queue::MessageQueue> queue_;
  std::string dead_id_;
  std::atomic<std::uint64_t> stored_{100};
};
class StreamContract : public ApiContract {
 protected:
  void SetUp() override {
    ApiContract::SetUp();
    ApiGatewayOptions options;
    options.tail_interval = std::chrono::milliseconds{5};
    start(std::move(options));
  }
  std::string request(const std::string& query, const std::string& headers = {}) {
    return "GET /api/v1/stream?" + query + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n";
  }
};

}  // namespace gpu_telemetry::services
