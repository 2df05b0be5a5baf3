// A fetch that ends early when its HTTP request is interrupted.
#pragma once

#include <vector>

#include "domain/result.h"
#include "http/message.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::queue {

// As MessageQueue::fetch; nothing when the interruption came first. What was leased for a client
// that has left is released before this returns, and is not returned.
Async<Result<std::vector<Delivery>>> fetch_unless_interrupted(MessageQueue& queue,
                                                              FetchRequest request,
                                                              http::Interruption& interruption);

// Hands deliveries back; those that cannot be (the engine does not answer) wait for the end of
// their leases.
Async<void> release(MessageQueue& queue, std::string topic, std::string group,
                    std::vector<std::string> receipts);

}  // namespace gpu_telemetry::queue
