// Consumers that are sent their messages (server-sent events), and who of them waits for which
// settlement.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/message.h"
#include "queue/http_api/queue_routes.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

class Subscription;

// Which deliveries of this process's subscriptions are not settled, by receipt and by message id.
// Thread-safe.
class SubscriptionRegistry {
 public:
  void add(const std::shared_ptr<Subscription>& subscription, const Delivery& delivery);
  void remove(const Subscription& subscription, const std::string& message_id,
              const std::string& receipt);
  // To be called with what a settlement was asked for and what became of it.
  void settled(const SettleRequest& request, const std::vector<Settled>& results);
  void extended(const SettleRequest& request, const std::vector<Settled>& results,
                std::chrono::milliseconds visibility);

 private:
  struct Entry {
    std::weak_ptr<Subscription> subscription;
    const Subscription* identity = nullptr;
    std::string message_id;
  };
  using Act = void (*)(Subscription&, const std::string& message_id,
                       std::chrono::milliseconds visibility);
  void for_each_done(const SettleRequest& request, const std::vector<Settled>& results,
                     std::chrono::milliseconds visibility, Act act);

  std::atomic<std::size_t> size_{0};  // of entries_; settling without subscribers takes no lock
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;  // by "topic/group/receipt or message id"
};

// One subscriber. All but settled() and extended() on its connection's thread.
class Subscription : public std::enable_shared_from_this<Subscription> {
 public:
  // References outlive it. `request.max_messages` is the prefetch.
  Subscription(MessageQueue& queue, SubscriptionRegistry& registry, const QueueApiOptions& options,
               FetchRequest request, http::Interruption& interruption)
      : queue_(queue),
        registry_(registry),
        options_(options),
        request_(std::move(request)),
        interruption_(interruption) {}
  ~Subscription();

  // Sends until the client leaves or the server drains, then gives back what is not settled.
  Async<Result<void>> run(http::BodyWriter& writer);

  // From any thread.
  void settled(const std::string& message_id);
  void extended(const std::string& message_id, std::chrono::milliseconds visibility);

  const FetchRequest& request() const { return request_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Unsettled {
    std::string receipt;
    Time lease_ends;
  };

  Async<Result<void>> send(http::BodyWriter& writer);
  Async<Result<void>> send_deliveries(http::BodyWriter& writer, std::vector<Delivery> deliveries);
  // Until there may be room, or a heartbeat is due; whether the latter.
  Async<bool> wait_for_room();
  Async<void> give_back();
  void drop_expired();
  void forget(const std::string& message_id);
  void post(std::function<void(Subscription&)> work);

  MessageQueue& queue_;
  SubscriptionRegistry& registry_;
  const QueueApiOptions& options_;
  const FetchRequest request_;
  http::Interruption& interruption_;
  boost::asio::any_io_executor executor_;
  std::unique_ptr<boost::asio::steady_timer> wake_;
  std::unordered_map<std::string, Unsettled> unsettled_;  // by message id
  std::vector<std::string> unsent_;                       // receipts
};

}  // namespace gpu_telemetry::queue
