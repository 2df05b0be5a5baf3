// The contract over HTTP: a client, a real server in this process, and an engine behind it.
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <stdexcept>
#include <thread>

#include "domain/clock.h"
#include "http/server.h"
#include "io/simulated_file_system.h"
#include "queue/durable/durable_queue.h"
#include "queue/http_api/queue_routes.h"
#include "queue/http_client/http_queue.h"
#include "queue/memory/memory_queue.h"
#include "queue/queue_contract.h"
#include "queue/shard_contract.h"

namespace gpu_telemetry::queue {
namespace {

// Hands everything on, and counts the fetches that wait inside.
class CountingQueue final : public MessageQueue {
 public:
  explicit CountingQueue(MessageQueue& inner) : inner_(inner) {}

  Async<Result<std::vector<PublishResult>>> publish(
      std::string topic, std::vector<OutgoingMessage> messages,
      std::optional<ShardProgress> progress) override {
    if (before) before();
    return inner_.publish(std::move(topic), std::move(messages), std::move(progress));
  }
  Async<Result<ShardAssignment>> shards(ShardRequest request) override {
    return inner_.shards(std::move(request));
  }
  Async<Result<std::vector<Delivery>>> fetch(FetchRequest request) override {
    if (before) before();
    return counted(std::move(request));
  }
  Async<Result<std::vector<Settled>>> ack(SettleRequest request) override {
    return inner_.ack(std::move(request));
  }
  Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options) override {
    return inner_.nack(std::move(request), std::move(options));
  }
  Async<Result<std::vector<Settled>>> extend(SettleRequest request,
                                             std::chrono::milliseconds visibility) override {
    return inner_.extend(std::move(request), visibility);
  }
  Async<Result<std::vector<TopicStatistics>>> statistics() override { return inner_.statistics(); }
  Async<Result<std::vector<DeadLetter>>> dead_letters(std::string topic, std::string group,
                                                      std::size_t max) override {
    return inner_.dead_letters(std::move(topic), std::move(group), max);
  }
  Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                       std::vector<std::string> message_ids) override {
    return inner_.redrive(std::move(topic), std::move(group), std::move(message_ids));
  }
  Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                     std::vector<std::string> message_ids) override {
    return inner_.purge(std::move(topic), std::move(group), std::move(message_ids));
  }
  Async<Result<void>> delete_group(std::string topic, std::string group) override {
    return inner_.delete_group(std::move(topic), std::move(group));
  }
  void shut_down() override { inner_.shut_down(); }

  int waiting() const { return waiting_; }
  // Whether a fetch was cancelled since this was last asked.
  bool take_cancelled() { return cancelled_.exchange(false); }
  // Returns when what runs now on the executor of the last waiting fetch has run.
  void settle_down() {
    boost::asio::any_io_executor executor;
    {
      const std::lock_guard lock(mutex_);
      executor = executor_;
    }
    if (!executor) return;
    std::promise<void> reached;
    boost::asio::post(executor, [&reached] { reached.set_value(); });
    reached.get_future().wait();
  }
  // Called before a publish or a fetch; only at the client.
  std::function<void()> before;

 private:
  Async<Result<std::vector<Delivery>>> counted(FetchRequest request) {
    if (request.wait.count() == 0) {
      co_return co_await inner_.fetch(std::move(request));
    }
    if (before == nullptr) {  // at the service: a caller's may be a strand that dies before this
      const auto executor = co_await boost::asio::this_coro::executor;
      const std::lock_guard lock(mutex_);
      executor_ = executor;
    }
    struct Count {
      std::atomic<int>& of;
      ~Count() { --of; }
    };
    ++waiting_;
    const Count count{waiting_};
    auto found = co_await inner_.fetch(std::move(request));
    if (!found && found.error().code == ErrorCode::kCancelled) cancelled_ = true;
    co_return found;
  }

  MessageQueue& inner_;
  std::atomic<int> waiting_{0};
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  boost::asio::any_io_executor executor_;
};

class HttpUnderTest final : public QueueUnderTest {
 public:
  using MakeEngine = void (*)(HttpUnderTest&, const QueueOptions&);

  HttpUnderTest(MakeEngine make_engine, const QueueOptions& options)
      : at_service_(engine(make_engine, options)) {
    QueueApiOptions api;
    api.max_message_size = options.max_message_size;
    http::Router router;
    if (auto added = add_queue_routes(router, api, at_service_); !added) throw_error(added.error());
    http::ServerOptions server;
    server.port = 0;
    server.threads = 1;
    server.log_requests = false;
    auto listening = http::Server::listen(server, std::move(router));
    if (!listening) throw_error(listening.error());
    server_ = std::move(*listening);
    server_->start();
    HttpQueueOptions client;
    client.url = "http://127.0.0.1:" + std::to_string(server_->port());
    auto made = make_http_queue(client, pool_.get_executor());
    if (!made) throw_error(made.error());
    client_ = std::move(*made);
    at_client_ = std::make_unique<CountingQueue>(*client_);
    // A cancelled fetch leaves at once here, and a moment later there.
    at_client_->before = [this] {
      if (at_client_->take_cancelled()) wait_until_same();
    };
  }
  ~HttpUnderTest() override {
    client_.reset();
    pool_.join();
    server_->stop(std::chrono::seconds{10});
    // Before the server, in whose loops the engine's own thread resumes who waited.
    engine_.reset();
  }

  static void memory(HttpUnderTest& self, const QueueOptions& options) {
    self.engine_ = make_memory_queue(options, self.clock_, self.timers_.get_executor());
  }
  static void durable(HttpUnderTest& self, const QueueOptions& options) {
    DurableQueueOptions made;
    made.queue = options;
    made.directory = "/queue";
    made.segment_size = 64_KiB;
    made.files = &self.files_;
    auto opened = open_durable_queue(std::move(made), self.clock_, self.timers_.get_executor());
    if (!opened) throw_error(opened.error());
    self.engine_ = std::move(*opened);
  }

  MessageQueue& queue() override { return *at_client_; }
  void advance(std::chrono::milliseconds by) override {
    wait_until_same();
    clock_.advance(by);
    engine_->poke();
  }
  void settle_down() override { wait_until_same(); }

 private:
  static void throw_error(const Error& error) { throw std::runtime_error(error.message); }

  MessageQueue& engine(MakeEngine make_engine, const QueueOptions& options) {
    make_engine(*this, options);
    return *engine_;
  }

  // What waits at the client waits at the service. Bounded: an answer may be on its way.
  void wait_until_same() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{5};
    while (at_client_->waiting() != at_service_.waiting() &&
           std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    at_service_.settle_down();
  }

  ManualClock clock_{from_unix_milliseconds(1'760'000'000'000)};
  io::SimulatedFileSystem files_;
  boost::asio::io_context timers_;  // never run: time is moved by hand
  std::unique_ptr<LedgerQueue> engine_;
  CountingQueue at_service_;
  std::unique_ptr<http::Server> server_;
  boost::asio::thread_pool pool_{1};
  std::unique_ptr<MessageQueue> client_;
  std::unique_ptr<CountingQueue> at_client_;
};

std::unique_ptr<QueueUnderTest> make_over_memory(QueueOptions options,
                                                 boost::asio::any_io_executor) {
  return std::make_unique<HttpUnderTest>(&HttpUnderTest::memory, options);
}

std::unique_ptr<QueueUnderTest> make_over_durable(QueueOptions options,
                                                  boost::asio::any_io_executor) {
  return std::make_unique<HttpUnderTest>(&HttpUnderTest::durable, options);
}

INSTANTIATE_TEST_SUITE_P(HttpOverDurable, QueueContract, ::testing::Values(&make_over_durable));
INSTANTIATE_TEST_SUITE_P(HttpOverMemory, QueueContract, ::testing::Values(&make_over_memory));
INSTANTIATE_TEST_SUITE_P(HttpOverDurable, ShardContract, ::testing::Values(&make_over_durable));
INSTANTIATE_TEST_SUITE_P(HttpOverMemory, ShardContract, ::testing::Values(&make_over_memory));

}  // namespace
}  // namespace gpu_telemetry::queue
