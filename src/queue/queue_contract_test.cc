#include "queue/queue_contract.h"

#include <stdexcept>

#include "domain/clock.h"
#include "io/simulated_file_system.h"
#include "queue/durable/durable_queue.h"
#include "queue/memory/memory_queue.h"
#include "queue/shard_contract.h"

namespace gpu_telemetry::queue {
namespace {

constexpr Timestamp kStart = from_unix_milliseconds(1'760'000'000'000);

class MemoryUnderTest final : public QueueUnderTest {
 public:
  MemoryUnderTest(QueueOptions options, boost::asio::any_io_executor executor)
      : queue_(make_memory_queue(std::move(options), clock_, std::move(executor))) {}
  MessageQueue& queue() override { return *queue_; }
  void advance(std::chrono::milliseconds by) override {
    clock_.advance(by);
    queue_->poke();
  }

 private:
  ManualClock clock_{kStart};
  std::unique_ptr<LedgerQueue> queue_;
};

std::unique_ptr<QueueUnderTest> make_memory(QueueOptions options,
                                            boost::asio::any_io_executor executor) {
  return std::make_unique<MemoryUnderTest>(std::move(options), std::move(executor));
}

class DurableUnderTest final : public QueueUnderTest {
 public:
  DurableUnderTest(QueueOptions options, boost::asio::any_io_executor executor) {
    DurableQueueOptions durable;
    durable.queue = std::move(options);
    durable.directory = "/queue";
    durable.segment_size = 64_KiB;  // so that there are many
    durable.files = &files_;
    auto opened = open_durable_queue(std::move(durable), clock_, std::move(executor));
    if (!opened) throw std::runtime_error(opened.error().message);
    queue_ = std::move(*opened);
  }
  MessageQueue& queue() override { return *queue_; }
  void advance(std::chrono::milliseconds by) override {
    clock_.advance(by);
    queue_->poke();
  }

 private:
  ManualClock clock_{kStart};
  io::SimulatedFileSystem files_;
  std::unique_ptr<LedgerQueue> queue_;
};

std::unique_ptr<QueueUnderTest> make_durable(QueueOptions options,
                                             boost::asio::any_io_executor executor) {
  return std::make_unique<DurableUnderTest>(std::move(options), std::move(executor));
}

INSTANTIATE_TEST_SUITE_P(Durable, QueueContract, ::testing::Values(&make_durable));
INSTANTIATE_TEST_SUITE_P(Memory, QueueContract, ::testing::Values(&make_memory));
INSTANTIATE_TEST_SUITE_P(Durable, ShardContract, ::testing::Values(&make_durable));
INSTANTIATE_TEST_SUITE_P(Memory, ShardContract, ::testing::Values(&make_memory));

}  // namespace
}  // namespace gpu_telemetry::queue
