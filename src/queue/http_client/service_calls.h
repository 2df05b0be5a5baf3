// Requests to a queue service and what their answers mean.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "concurrency/thread_annotations.h"
#include "http/client.h"
#include "queue/http_client/http_queue.h"

namespace gpu_telemetry::queue {

struct ServiceCall {
  http::Method method = http::Method::kGet;
  std::string target;  // below /api/v1/queue/, encoded
  std::string body;    // binary
  std::chrono::milliseconds extra_time{0};
  // How long an answer is of use, where that is less than the request's time.
  std::chrono::milliseconds longest = std::chrono::milliseconds::max();
  bool idempotent = true;
  std::shared_ptr<http::Hangup> hangup;
  // Whether 404 means that the thing is not there. Else it means that the service is not one.
  bool can_be_missing = false;
};

// Thread-safe.
class ServiceCalls {
 public:
  ServiceCalls(HttpQueueOptions options, std::shared_ptr<http::Client> client)
      : options_(std::move(options)), client_(std::move(client)) {}

  // The body of a 200. Errors as http_queue.h says. Until the time that the service's Retry-After
  // named, it is not asked again: after 503 for nothing, after 429 not for the same.
  Async<Result<std::string>> send(ServiceCall call);

 private:
  struct Respite {
    std::chrono::steady_clock::time_point until;
    Error why;
  };

  // The error of a call that would come too early.
  std::optional<Error> too_early(std::string_view what);
  void heed(std::string_view what, const http::ClientResponse& answer, const Error& error);
  Result<std::string> understand(const ServiceCall& call, http::ClientResponse& answer) const;
  void note(bool reached, std::string_view trouble);

  const HttpQueueOptions options_;
  const std::shared_ptr<http::Client> client_;
  std::atomic<int> reached_{-1};  // the last request's outcome; -1: there was none
  concurrency::Mutex mutex_;
  // By what is not to be asked for; under the empty text, anything.
  std::map<std::string, Respite, std::less<>> respites_ GPU_TELEMETRY_GUARDED_BY(mutex_);
};

// A value of a query, percent-encoded.
std::string encode_query_value(std::string_view text);

}  // namespace gpu_telemetry::queue
