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
// long as it lives; asking twice for one name and labels gives the same object.
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
  // cheaper to read than to keep up to date. Destroying the handle takes it away.
  class Sampler;
  [[nodiscard]] std::shared_ptr<Sampler> on_collect(std::function<void()> sample);

  // The whole text, process metrics included (cpu, memory, open files, start time).
  std::string render();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 0.5 ms to 10 s, for latencies in seconds.
const std::vector<double>& latency_buckets();

}  // namespace gpu_telemetry::observability
