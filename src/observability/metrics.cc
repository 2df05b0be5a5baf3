#include "observability/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "observability/build_info.h"
#include "observability/process_metrics.h"

namespace gpu_telemetry::observability {
namespace {

// Shared with the handles, which may outlive the Metrics.
struct SamplerList {
  std::mutex mutex;
  std::vector<Metrics::Sampler*> samplers;
};

}  // namespace

class Metrics::Sampler {
 public:
  Sampler(std::shared_ptr<SamplerList> list, std::function<void()> sample)
      : list_(std::move(list)), sample_(std::move(sample)) {
    const std::lock_guard lock(list_->mutex);
    list_->samplers.push_back(this);
  }
  ~Sampler() {
    const std::lock_guard lock(list_->mutex);
    std::erase(list_->samplers, this);
  }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  void run() const { sample_(); }

 private:
  const std::shared_ptr<SamplerList> list_;
  const std::function<void()> sample_;
};

struct Metrics::State {
  prometheus::Registry registry;
  std::shared_ptr<SamplerList> samplers = std::make_shared<SamplerList>();
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

prometheus::Counter& Metrics::counter(const std::string& name, const std::string& help,
                                      const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry).Add(labels);
}

prometheus::Gauge& Metrics::gauge(const std::string& name, const std::string& help,
                                  const Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry).Add(labels);
}

prometheus::Histogram& Metrics::histogram(const std::string& name, const std::string& help,
                                          const std::vector<double>& buckets,
                                          const Labels& labels) {
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(state_->registry);
  return family.Add(labels, buckets);
}

std::shared_ptr<Metrics::Sampler> Metrics::on_collect(std::function<void()> sample) {
  return std::make_shared<Sampler>(state_->samplers, std::move(sample));
}

std::string Metrics::render() {
  {
    // Held while they run, so that a handle's destructor knows that its sampler is done.
    const std::lock_guard lock(state_->samplers->mutex);
    for (const Sampler* sampler : state_->samplers->samplers) sampler->run();
  }
  std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
  std::vector<prometheus::MetricFamily> process = process_metrics();
  families.insert(families.end(), std::make_move_iterator(process.begin()),
                  std::make_move_iterator(process.end()));
  return prometheus::TextSerializer().Serialize(families);
}

void add_build_info(Metrics& metrics) {
  const BuildInfo& build = build_info();
  const Labels labels{{"version", std::string(build.version)},
                      {"revision", std::string(build.revision)},
                      {"compiler", std::string(build.compiler)}};
  metrics.gauge("gpu_telemetry_build_info", "What this binary was built from; always 1.", labels)
      .Set(1);
}

const std::vector<double>& latency_buckets() {
  static const std::vector<double> buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                           0.1,    0.25,  0.5,    1,     2.5,  5,     10};
  return buckets;
}

}  // namespace gpu_telemetry::observability
