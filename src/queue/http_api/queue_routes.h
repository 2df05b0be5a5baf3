// The queue's HTTP API over any MessageQueue: docs/protocol.md says what each route answers.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "domain/duration.h"
#include "domain/result.h"
#include "http/router.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

struct QueueApiOptions {
  // The engine's: a longer message is answered 413.
  ByteSize max_message_size = 8_MiB;
  // Of a publish. Each request that is being read takes so much memory at most.
  ByteSize max_publish_body = 64_MiB;
  // The engine's: so long a delivery counts against its subscriber's prefetch.
  std::chrono::milliseconds visibility_timeout = std::chrono::minutes{5};
  // Between comments to a subscriber for whom there is nothing. More often costs a little; less
  // often, and a client that vanished without a word is noticed later.
  std::chrono::milliseconds heartbeat = std::chrono::seconds{15};
  // The bearer token that every request must bring; null: none is needed. Asked at each request and
  // from any thread, so that it may change; while it is empty nobody is let in.
  std::function<std::string()> token;
};

// Adds the routes under /api/v1/queue. `queue` outlives the server that uses the router. Waiting
// fetches and subscriptions end by themselves when the server drains.
// Errors: kConflict for a route that is there already.
Result<void> add_queue_routes(http::Router& router, QueueApiOptions options, MessageQueue& queue);

}  // namespace gpu_telemetry::queue
