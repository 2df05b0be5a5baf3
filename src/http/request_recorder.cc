#include "http/request_recorder.h"

#include <prometheus/histogram.h>

#include <algorithm>
#include <utility>

#include "observability/log.h"

namespace gpu_telemetry::http {
namespace {

// What a client can make a log line hold at most of its own text.
constexpr std::size_t kLongestLoggedPath = 512;

// Anybody can send any method; a label must not have more values than we know.
std::string_view method_label(std::string_view method) {
  for (const Method known :
       {Method::kGet, Method::kHead, Method::kPost, Method::kPut, Method::kPatch, Method::kDelete,
        Method::kOptions, Method::kTrace, Method::kQuery}) {
    if (to_string(known) == method) return method;
  }
  return "other";
}

}  // namespace

RequestRecorder::RequestRecorder(std::string server, observability::Metrics* metrics, bool log,
                                 observability::LogLevel level)
    : server_(std::move(server)), metrics_(metrics), log_(log), level_(level) {}

void RequestRecorder::record(const RequestRecord& record) {
  const double seconds = std::chrono::duration<double>(record.duration).count();
  if (metrics_ != nullptr) series(record).Observe(seconds);
  const bool failed = record.status >= 500;
  const auto level = failed ? observability::LogLevel::kWarn : level_;
  if (!log_ || !observability::log_enabled(level)) return;
  const std::string_view outcome = record.error.empty() ? "complete" : record.error;
  observability::log_line(level, "request",
                          {{"server", server_},
                           {"request_id", record.id},
                           {"method", record.method},
                           {"path", record.path.substr(0, kLongestLoggedPath)},
                           {"route", record.pattern},
                           {"status", record.status},
                           {"duration_seconds", seconds},
                           {"bytes", record.bytes},
                           {"remote_address", record.remote_address},
                           {"outcome", outcome}});
}

prometheus::Histogram& RequestRecorder::series(const RequestRecord& record) {
  const std::string_view method = method_label(record.method);
  const auto found = std::find_if(series_.begin(), series_.end(), [&](const Series& series) {
    return series.status == record.status && series.pattern == record.pattern &&
           series.method == method;
  });
  if (found != series_.end()) return *found->histogram;
  auto& histogram = metrics_->histogram(
      "gpu_telemetry_http_request_duration_seconds",
      "Time from a request's head to the last byte of its answer, by server, method, route and "
      "status.",
      observability::latency_buckets(),
      {{"server", server_},
       {"method", std::string(method)},
       {"route", std::string(record.pattern)},
       {"status", std::to_string(record.status)}});
  series_.push_back({std::string(record.pattern), std::string(method), record.status, &histogram});
  return histogram;
}

}  // namespace gpu_telemetry::http
