#include "queue/http_client/http_queue.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "domain/duration.h"
#include "observability/log.h"
#include "queue/http_api/binary_body.h"
#include "queue/http_client/pending_fetch.h"
#include "queue/http_client/service_calls.h"
#include "queue/requests.h"

namespace gpu_telemetry::queue {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using Deliveries = std::vector<Delivery>;

constexpr std::chrono::seconds kLongestWait{60};  // of one request
constexpr milliseconds kShortestRenewal{1'000};
constexpr ByteSize kLargestAnswer = 1_GiB;

std::string group_query(std::string_view route, std::string_view topic, std::string_view group) {
  return std::string(route) + "?topic=" + encode_query_value(topic) +
         "&consumer_group=" + encode_query_value(group);
}

std::string_view route_of(Settlement settlement) {
  switch (settlement) {
    case Settlement::kAck:
      return "ack";
    case Settlement::kNack:
      return "nack";
    case Settlement::kExtend:
      break;
  }
  return "extend";
}

// Bytes that no queue service sends are as if it were away.
template <class T>
Result<T> understood(Result<T> read) {
  if (read) return read;
  return unavailable("the queue service's answer cannot be read: " + read.error().message);
}

// What requests share; they keep it alive when the queue itself is gone.
struct Shared {
  Shared(HttpQueueOptions options, std::shared_ptr<http::Client> client, asio::any_io_executor on)
      : calls(std::move(options), std::move(client)), executor(std::move(on)) {}

  ServiceCalls calls;
  const asio::any_io_executor executor;
  std::atomic<bool> shut_down{false};
  std::mutex mutex;
  std::unordered_set<std::shared_ptr<PendingFetch>> fetches;  // guarded by mutex

  static Error shut_down_error() { return unavailable("the queue client is shutting down"); }
  Result<void> check_open() const {
    if (shut_down.load()) return shut_down_error();
    return {};
  }
};

Async<Result<std::vector<Settled>>> settle(std::shared_ptr<Shared> shared, Settlement settlement,
                                           SettleBody body) {
  ServiceCall call;
  call.method = http::Method::kPost;
  call.target = route_of(settlement);
  call.body = binary::write_settle(settlement, body);
  const auto answer = co_await shared->calls.send(std::move(call));
  if (!answer) co_return answer.error();
  auto results = understood(binary::read_settled(*answer));
  if (results && results->size() != body.request.receipts_or_ids.size()) {
    co_return unavailable("the queue service answered for another number of entries than asked");
  }
  co_return results;
}

Async<void> release(std::shared_ptr<Shared> shared, FetchRequest request, Deliveries deliveries) {
  SettleBody body;
  body.request.topic = std::move(request.topic);
  body.request.group = std::move(request.group);
  for (Delivery& each : deliveries) {
    body.request.receipts_or_ids.push_back(std::move(each.receipt));
  }
  body.nack.release = true;
  const auto released = co_await settle(std::move(shared), Settlement::kNack, std::move(body));
  if (!released) {
    observability::log_warn("queue client: messages that came too late wait for their leases",
                            {{"error", released.error().message}});
  }
}

Async<Result<Deliveries>> request_deliveries(std::shared_ptr<Shared> shared, FetchRequest request,
                                             std::shared_ptr<http::Hangup> hangup) {
  ServiceCall call;
  call.target = group_query("fetch", request.topic, request.group) +
                "&max=" + std::to_string(request.max_messages) +
                "&wait=" + format_duration(request.wait);
  if (!request.consumer.empty()) {
    call.target += "&consumer_id=" + encode_query_value(request.consumer);
  }
  call.extra_time = request.wait;
  call.hangup = std::move(hangup);
  const auto answer = co_await shared->calls.send(std::move(call));
  if (!answer) co_return answer.error();
  co_return understood(binary::read_deliveries(*answer));
}

// One request, to its end, whether its caller stays or not.
Async<void> run_fetch(std::shared_ptr<Shared> shared, FetchRequest request,
                      std::shared_ptr<PendingFetch> pending) {
  Result<Deliveries> found = co_await request_deliveries(shared, request, pending->hangup());
  {
    const std::lock_guard lock(shared->mutex);
    shared->fetches.erase(pending);
  }
  const bool taken = pending->complete(found);
  if (!taken && found && !found->empty()) {
    co_await release(shared, std::move(request), std::move(*found));
  }
}

class HttpQueue final : public MessageQueue {
 public:
  explicit HttpQueue(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~HttpQueue() override { HttpQueue::shut_down(); }

  Async<Result<std::vector<PublishResult>>> publish(
      std::string topic, std::vector<OutgoingMessage> messages,
      std::optional<ShardProgress> progress) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    QueueOptions limits;  // the service knows how large a message may be
    limits.max_message_size = ByteSize{UINT64_MAX};
    const ShardProgress* steps = progress ? &*progress : nullptr;
    if (auto sound = check_publish(limits, topic, messages, steps); !sound) co_return sound.error();
    ServiceCall call;
    call.method = http::Method::kPost;
    call.target = "publish";
    call.body = binary::write_publish(topic, messages, steps);
    // A progress that has been made is recognised.
    call.idempotent =
        steps != nullptr || std::all_of(messages.begin(), messages.end(), [](const auto& message) {
          return !message.deduplication_id.empty();
        });
    const std::size_t count = messages.size();
    const auto answer = co_await shared->calls.send(std::move(call));
    if (!answer) co_return answer.error();
    auto results = understood(binary::read_published(*answer));
    if (results && results->size() != count) {
      co_return unavailable("the queue service answered for another number of messages than sent");
    }
    co_return results;
  }

  Async<Result<ShardAssignment>> shards(ShardRequest request) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_shards(request); !sound) co_return sound.error();
    ServiceCall call;
    call.method = http::Method::kPost;
    call.target = "shards";
    // Given up while there is time to renew the lease by another call.
    call.longest = std::max(request.ttl / 2, kShortestRenewal);
    call.body = binary::write_shards(request);
    const auto answer = co_await shared->calls.send(std::move(call));
    if (!answer) co_return answer.error();
    co_return understood(binary::read_assignment(*answer));
  }

  Async<Result<Deliveries>> fetch(FetchRequest request) override {
    const auto shared = shared_;
    if (auto sound = check_fetch(request); !sound) co_return sound.error();
    milliseconds left = request.wait;
    for (;;) {
      request.wait = std::min<milliseconds>(left, kLongestWait);
      left -= request.wait;
      const auto pending = std::make_shared<PendingFetch>();
      {
        const std::lock_guard lock(shared->mutex);
        if (shared->shut_down.load()) co_return Shared::shut_down_error();
        shared->fetches.insert(pending);
      }
      asio::co_spawn(shared->executor, run_fetch(shared, request, pending), asio::detached);
      Result<Deliveries> found = co_await PendingFetch::wait(pending);
      const auto cancellation = co_await asio::this_coro::cancellation_state;
      if (cancellation.cancelled() != asio::cancellation_type::none) {
        if (found && !found->empty()) {
          asio::co_spawn(shared->executor, release(shared, request, std::move(*found)),
                         asio::detached);
        }
        co_return cancelled("the fetch was cancelled while it waited");
      }
      if (!found || !found->empty() || left.count() == 0) co_return found;
    }
  }

  Async<Result<std::vector<Settled>>> ack(SettleRequest request) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_settle(request); !sound) co_return sound.error();
    SettleBody body;
    body.request = std::move(request);
    co_return co_await settle(shared, Settlement::kAck, std::move(body));
  }

  Async<Result<std::vector<Settled>>> nack(SettleRequest request, NackOptions options) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_nack(request, options); !sound) co_return sound.error();
    SettleBody body;
    body.request = std::move(request);
    body.nack = std::move(options);
    co_return co_await settle(shared, Settlement::kNack, std::move(body));
  }

  Async<Result<std::vector<Settled>>> extend(SettleRequest request,
                                             milliseconds visibility) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_extend(request, visibility); !sound) co_return sound.error();
    SettleBody body;
    body.request = std::move(request);
    body.visibility = visibility;
    co_return co_await settle(shared, Settlement::kExtend, std::move(body));
  }

  Async<Result<std::vector<TopicStatistics>>> statistics() override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    ServiceCall call;
    call.target = "stats";
    const auto answer = co_await shared->calls.send(std::move(call));
    if (!answer) co_return answer.error();
    co_return understood(binary::read_statistics(*answer));
  }

  Async<Result<std::vector<DeadLetter>>> dead_letters(std::string topic, std::string group,
                                                      std::size_t max) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_topic_and_group(topic, group); !sound) co_return sound.error();
    ServiceCall call;
    call.target = group_query("dlq", topic, group) +
                  "&max=" + std::to_string(std::clamp<std::size_t>(max, 1, kMaxBatch));
    const auto answer = co_await shared->calls.send(std::move(call));
    if (!answer) co_return answer.error();
    auto letters = understood(binary::read_dead_letters(*answer));
    if (letters && letters->size() > max) letters->resize(max);
    co_return letters;
  }

  Async<Result<std::uint64_t>> redrive(std::string topic, std::string group,
                                       std::vector<std::string> message_ids) override {
    return act_on_letters(shared_, "dlq/redrive", std::move(topic), std::move(group),
                          std::move(message_ids));
  }
  Async<Result<std::uint64_t>> purge(std::string topic, std::string group,
                                     std::vector<std::string> message_ids) override {
    return act_on_letters(shared_, "dlq/purge", std::move(topic), std::move(group),
                          std::move(message_ids));
  }

  Async<Result<void>> delete_group(std::string topic, std::string group) override {
    const auto shared = shared_;
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_topic_and_group(topic, group); !sound) co_return sound.error();
    ServiceCall call;
    call.method = http::Method::kDelete;
    call.target = group_query("groups", topic, group);
    call.can_be_missing = true;
    const auto answer = co_await shared->calls.send(std::move(call));
    if (!answer) co_return answer.error();
    co_return Result<void>();
  }

  void shut_down() override {
    std::vector<std::shared_ptr<PendingFetch>> waiting;
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->shut_down = true;
      waiting.assign(shared_->fetches.begin(), shared_->fetches.end());
    }
    for (const auto& each : waiting) each->leave(Shared::shut_down_error());
  }

 private:
  static Async<Result<std::uint64_t>> act_on_letters(std::shared_ptr<Shared> shared,
                                                     std::string route, std::string topic,
                                                     std::string group,
                                                     std::vector<std::string> message_ids) {
    if (auto open = shared->check_open(); !open) co_return open.error();
    if (auto sound = check_dead_letter_ids(topic, group, message_ids); !sound) {
      co_return sound.error();
    }
    LettersBody body;
    body.topic = std::move(topic);
    body.group = std::move(group);
    body.message_ids = std::move(message_ids);
    ServiceCall call;
    call.method = http::Method::kPost;
    call.target = std::move(route);
    call.body = binary::write_letters(body);
    const auto answer = co_await shared->calls.send(std::move(call));
    if (!answer) co_return answer.error();
    co_return understood(binary::read_count(*answer));
  }

  const std::shared_ptr<Shared> shared_;
};

}  // namespace

Result<std::unique_ptr<MessageQueue>> make_http_queue(HttpQueueOptions options,
                                                      asio::any_io_executor executor) {
  http::ClientOptions client_options;
  client_options.base_url = options.url;
  client_options.tls = options.tls;
  client_options.max_idle_connections = options.max_idle_connections;
  client_options.connect_timeout = options.connect_timeout;
  client_options.max_response_size = kLargestAnswer;
  auto client = http::Client::create(std::move(client_options), executor);
  if (!client) return client.error();
  auto shared =
      std::make_shared<Shared>(std::move(options), std::move(*client), std::move(executor));
  return std::unique_ptr<MessageQueue>(std::make_unique<HttpQueue>(std::move(shared)));
}

}  // namespace gpu_telemetry::queue
