// A queue service elsewhere as a MessageQueue: what streamers and collectors use when they are
// processes of their own. Speaks the binary body of docs/protocol.md.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "domain/result.h"
#include "queue/message_queue.h"

namespace gpu_telemetry::tls {
class TlsContext;
}

namespace gpu_telemetry::queue {

struct HttpQueueOptions {
  std::string url;                       // "http://queue-service:8080", or https
  std::shared_ptr<tls::TlsContext> tls;  // see http::ClientOptions
  // The bearer token; null or empty: none is sent. Asked at each request and from any thread, so
  // that it may change.
  std::function<std::string()> token;
  // Connections kept open between requests. Each request in flight has one of its own.
  std::size_t max_idle_connections = 64;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds{5};
  // For a whole request; a fetch may take its wait on top.
  std::chrono::milliseconds request_timeout = std::chrono::seconds{30};
};

// Connections live on `executor`, whose context outlives the queue.
//
// Errors beyond MessageQueue's: a full service's 429 is kFull and everything that may pass
// (no connection, time-out, 5xx, a token that is refused) kUnavailable; where the service says when
// to come again, the message does. A publish whose answer was lost may have been accepted: publish
// it again with the same ids. Until the time that a service's Retry-After named (2 s at least), the
// same error comes without asking again.
//
// A fetch that is cancelled, and those that shut_down ends, tell the service that nobody waits any
// longer; messages that were on their way are released, which is no retry. Requests of other kinds
// run to their end.
// Errors: kInvalid for a URL that is not http[s]://HOST[:PORT][/PATH].
Result<std::unique_ptr<MessageQueue>> make_http_queue(HttpQueueOptions options,
                                                      boost::asio::any_io_executor executor);

}  // namespace gpu_telemetry::queue
