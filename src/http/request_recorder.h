// One log line and one observation for each request.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "observability/log.h"
#include "observability/metrics.h"

namespace gpu_telemetry::http {

struct RequestRecord {
  std::string_view id;
  std::string_view method;   // as it was sent, or empty when the head was not understood
  std::string_view path;     // as it was sent, without its query, which may hold secrets
  std::string_view pattern;  // of the route; "unmatched" when none
  std::string_view remote_address;
  int status = 0;
  std::chrono::nanoseconds duration{0};
  std::uint64_t bytes = 0;  // sent, head included
  std::string_view error;   // why the answer is incomplete; empty: it is complete
};

// Used by one thread, so that finding a histogram takes no lock.
class RequestRecorder {
 public:
  RequestRecorder(std::string server, observability::Metrics* metrics, bool log,
                  observability::LogLevel level);
  void record(const RequestRecord& record);

 private:
  struct Series {
    std::string pattern;
    std::string method;
    int status;
    prometheus::Histogram* histogram;
  };
  prometheus::Histogram& series(const RequestRecord& record);

  const std::string server_;
  observability::Metrics* const metrics_;
  const bool log_;
  const observability::LogLevel level_;
  std::vector<Series> series_;  // few: routes times the statuses they answer
};

}  // namespace gpu_telemetry::http
