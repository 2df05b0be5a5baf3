#include "queue/http_api/subscription.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "http/encoding.h"
#include "observability/log.h"
#include "queue/http_api/json_body.h"
#include "queue/http_api/waiting_fetch.h"

namespace gpu_telemetry::queue {
namespace {

namespace asio = boost::asio;
using Why = http::Interruption::Why;

// Deliveries that are leased and written at a time: a slow reader does not hold more than it reads.
constexpr std::size_t kMaxBurst = 100;
constexpr std::string_view kHeartbeat = ": heartbeat\n\n";

std::string key_of(std::string_view topic, std::string_view group, std::string_view id) {
  std::string key;
  key.reserve(topic.size() + group.size() + id.size() + 2);
  key += topic;
  key += '/';
  key += group;
  key += '/';
  key += id;
  return key;
}

std::string connected_event(const FetchRequest& request) {
  return "event: connected\ndata: {\"topic\":" + http::json_string(request.topic) +
         ",\"consumer_group\":" + http::json_string(request.group) +
         ",\"consumer_id\":" + http::json_string(request.consumer) +
         ",\"prefetch\":" + std::to_string(request.max_messages) + "}\n\n";
}

// JSON has no line breaks of its own, so an event's data is one line.
void append_message_event(std::string& out, const Delivery& delivery) {
  out += "event: message\nid: ";
  out += delivery.message_id;
  out += "\ndata: ";
  out += json::write_delivery(delivery);
  out += "\n\n";
}

}  // namespace

void SubscriptionRegistry::add(const std::shared_ptr<Subscription>& subscription,
                               const Delivery& delivery) {
  const FetchRequest& request = subscription->request();
  const Entry entry{subscription, subscription.get(), delivery.message_id};
  const std::lock_guard lock(mutex_);
  entries_[key_of(request.topic, request.group, delivery.message_id)] = entry;
  entries_[key_of(request.topic, request.group, delivery.receipt)] = entry;
  size_ = entries_.size();
}

void SubscriptionRegistry::remove(const Subscription& subscription, const std::string& message_id,
                                  const std::string& receipt) {
  const FetchRequest& request = subscription.request();
  const std::lock_guard lock(mutex_);
  for (const std::string* id : {&message_id, &receipt}) {
    const auto found = entries_.find(key_of(request.topic, request.group, *id));
    // Another subscription may have got the message since.
    if (found != entries_.end() && found->second.identity == &subscription) entries_.erase(found);
  }
  size_ = entries_.size();
}

void SubscriptionRegistry::for_each_done(const SettleRequest& request,
                                         const std::vector<Settled>& results,
                                         std::chrono::milliseconds visibility, Act act) {
  if (size_.load() == 0) return;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i] != Settled::kDone) continue;
    const std::string key = key_of(request.topic, request.group, request.receipts_or_ids[i]);
    std::shared_ptr<Subscription> subscription;
    std::string message_id;
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(key);
      if (found == entries_.end()) continue;
      subscription = found->second.subscription.lock();
      message_id = found->second.message_id;
    }
    if (subscription) act(*subscription, message_id, visibility);
  }
}

void SubscriptionRegistry::settled(const SettleRequest& request,
                                   const std::vector<Settled>& results) {
  const Act act = [](Subscription& subscription, const std::string& message_id,
                     std::chrono::milliseconds) { subscription.settled(message_id); };
  for_each_done(request, results, {}, act);
}

void SubscriptionRegistry::extended(const SettleRequest& request,
                                    const std::vector<Settled>& results,
                                    std::chrono::milliseconds visibility) {
  const Act act = [](Subscription& subscription, const std::string& message_id,
                     std::chrono::milliseconds by) { subscription.extended(message_id, by); };
  for_each_done(request, results, visibility, act);
}

Subscription::~Subscription() {
  for (const auto& [message_id, unsettled] : unsettled_) {
    registry_.remove(*this, message_id, unsettled.receipt);
  }
}

void Subscription::post(std::function<void(Subscription&)> work) {
  auto run = [weak = weak_from_this(), work = std::move(work)] {
    if (const auto self = weak.lock()) work(*self);
  };
  asio::post(executor_, std::move(run));
}

void Subscription::settled(const std::string& message_id) {
  post([message_id](Subscription& self) {
    self.forget(message_id);
    self.wake_->cancel();
  });
}

void Subscription::extended(const std::string& message_id, std::chrono::milliseconds visibility) {
  post([message_id, ends = std::chrono::steady_clock::now() + visibility](Subscription& self) {
    const auto found = self.unsettled_.find(message_id);
    if (found == self.unsettled_.end()) return;
    found->second.lease_ends = ends;
    self.wake_->cancel();
  });
}

void Subscription::forget(const std::string& message_id) {
  const auto found = unsettled_.find(message_id);
  if (found == unsettled_.end()) return;
  registry_.remove(*this, message_id, found->second.receipt);
  unsettled_.erase(found);
}

void Subscription::drop_expired() {
  const Time now = std::chrono::steady_clock::now();
  std::vector<std::string> expired;
  for (const auto& [message_id, unsettled] : unsettled_) {
    if (unsettled.lease_ends <= now) expired.push_back(message_id);
  }
  for (const std::string& message_id : expired) forget(message_id);
}

Async<Result<void>> Subscription::run(http::BodyWriter& writer) {
  executor_ = co_await asio::this_coro::executor;
  wake_ = std::make_unique<asio::steady_timer>(executor_);
  observability::log_info("consumer subscribed", {{"topic", request_.topic},
                                                  {"consumer_group", request_.group},
                                                  {"consumer_id", request_.consumer},
                                                  {"prefetch", request_.max_messages}});
  const Result<void> sent = co_await send(writer);
  const std::size_t left = unsettled_.size();
  co_await give_back();
  observability::log_info("consumer left", {{"topic", request_.topic},
                                            {"consumer_group", request_.group},
                                            {"consumer_id", request_.consumer},
                                            {"given_back", left}});
  co_return sent;
}

Async<Result<void>> Subscription::send(http::BodyWriter& writer) {
  const std::string connected = connected_event(request_);
  Result<void> written = co_await writer.write(connected);
  while (written && interruption_.why() == Why::kNone) {
    if (unsettled_.size() >= request_.max_messages) drop_expired();
    if (unsettled_.size() >= request_.max_messages) {
      const bool due = co_await wait_for_room();
      if (due) written = co_await writer.write(kHeartbeat);
      continue;
    }
    FetchRequest next = request_;
    next.max_messages = std::min(request_.max_messages - unsettled_.size(), kMaxBurst);
    next.wait = options_.heartbeat;
    Result<std::vector<Delivery>> found =
        co_await fetch_unless_interrupted(queue_, std::move(next), interruption_);
    if (!found) co_return found.error();
    if (interruption_.why() == Why::kNone && found->empty()) {
      written = co_await writer.write(kHeartbeat);
    } else {
      written = co_await send_deliveries(writer, std::move(*found));
    }
  }
  co_return written;
}

Async<Result<void>> Subscription::send_deliveries(http::BodyWriter& writer,
                                                  std::vector<Delivery> deliveries) {
  const Time lease_ends = std::chrono::steady_clock::now() + options_.visibility_timeout;
  std::string events;
  for (const Delivery& delivery : deliveries) {
    append_message_event(events, delivery);
    forget(delivery.message_id);  // an earlier delivery that ran out
    unsettled_.insert_or_assign(delivery.message_id, Unsettled{delivery.receipt, lease_ends});
    registry_.add(shared_from_this(), delivery);
    unsent_.push_back(delivery.receipt);
  }
  Result<void> written;
  if (interruption_.why() == Why::kNone && !events.empty()) {
    written = co_await writer.write(events);
    if (written) unsent_.clear();
  }
  co_return written;
}

Async<bool> Subscription::wait_for_room() {
  const Time heartbeat = std::chrono::steady_clock::now() + options_.heartbeat;
  Time until = heartbeat;
  for (const auto& [message_id, unsettled] : unsettled_) {
    until = std::min(until, unsettled.lease_ends);
  }
  wake_->expires_at(until);
  interruption_.notify([this] { wake_->cancel(); });
  const auto [woken] = co_await wake_->async_wait(asio::as_tuple(asio::use_awaitable));
  interruption_.notify(nullptr);
  co_return !woken && until == heartbeat;
}

// What the client was sent counts as a retry, so that a message that kills its consumers dies
// itself; what it never got, and what it loses because this server stops, does not.
Async<void> Subscription::give_back() {
  std::vector<std::string> released;
  SettleRequest lost;
  lost.topic = request_.topic;
  lost.group = request_.group;
  const bool stopping = interruption_.why() == Why::kServerStops;
  for (const auto& [message_id, unsettled] : unsettled_) {
    registry_.remove(*this, message_id, unsettled.receipt);
    const bool unsent =
        std::find(unsent_.begin(), unsent_.end(), unsettled.receipt) != unsent_.end();
    (stopping || unsent ? released : lost.receipts_or_ids).push_back(unsettled.receipt);
  }
  unsettled_.clear();
  co_await release(queue_, request_.topic, request_.group, std::move(released));
  if (lost.receipts_or_ids.empty()) co_return;
  NackOptions retry;
  const auto nacked = co_await queue_.nack(std::move(lost), std::move(retry));
  if (!nacked) {
    observability::log_warn("messages of a consumer that left wait for the end of their leases",
                            {{"error", nacked.error().message}});
  }
}

}  // namespace gpu_telemetry::queue
