// What a process counts about itself, in the Prometheus text format (version 0.0.4).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace gpu_telemetry::observability {

using Labels = std::map<std::string, std::string>;

// The metrics of one process or, in tests, of one component. Thread-safe. References stay valid as
// long as it lives; asking twice for one name and labels gives the same object. Asking takes a lock
// and a few look-ups: hot paths keep the reference. A malformed name, or one name asked for as two
// kinds, is a defect and throws std::invalid_argument.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  prometheus::Counter& counter(const std::string& name, const std::string& help,
                               const Labels& labels = {});
  prometheus::Gauge& gauge(const std::string& name, const std::string& help,
                           const Labels& labels = {});
  // Buckets are upper bounds in the metric's unit, ascending.
  prometheus::Histogram& histogram(const std::string& name, const std::string& help,
                                   const std::vector<double>& buckets, const Labels& labels = {});

  // `sample` runs each time before the text is made, on the thread that asks: for numbers that are
  // cheaper to read than to keep up to date. Destroying the handle takes it away, and waits for a
  // run that is under way. `sample` may set metrics, but not add or destroy samplers, and must not
  // throw.
  class Sampler;
  [[nodiscard]] std::shared_ptr<Sampler> on_collect(std::function<void()> sample);

  // The whole text, process metrics included (cpu, memory, open files, start time).
  std::string render();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Adds gpu_telemetry_build_info{version,revision,compiler}, always 1 (see build_info.h).
void add_build_info(Metrics& metrics);

// 0.5 ms to 10 s, for latencies in seconds.
const std::vector<double>& latency_buckets();

}  // namespace gpu_telemetry::observability
