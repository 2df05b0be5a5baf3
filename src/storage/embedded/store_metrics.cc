#include "storage/embedded/store_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

namespace gpu_telemetry::storage::embedded {

namespace {

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

struct StoreMetrics::Instruments {
  explicit Instruments(observability::Metrics& metrics)
      : samples(metrics.counter("gpu_telemetry_store_samples_written_total",
                                "Samples written, repeated ones included.")),
        write_seconds(metrics.histogram("gpu_telemetry_store_write_seconds",
                                        "Time until a write was durable.",
                                        observability::latency_buckets())),
        seal_seconds(metrics.histogram("gpu_telemetry_store_seal_seconds",
                                       "Time to seal a head into files.",
                                       observability::latency_buckets())),
        merge_seconds(metrics.histogram("gpu_telemetry_store_merge_seconds",
                                        "Time to merge files into one.",
                                        observability::latency_buckets())),
        merged_files(metrics.counter("gpu_telemetry_store_merged_files_total",
                                     "Files that were merged into another.")),
        sealed_files(
            metrics.counter("gpu_telemetry_store_sealed_files_total", "Files made of a head.")),
        expired_files(metrics.counter("gpu_telemetry_store_expired_files_total",
                                      "Files removed because everything in them had expired.")),
        damage(metrics.counter("gpu_telemetry_store_damage_total",
                               "Damaged parts found in stored data; the log names each.")),
        files(metrics.gauge("gpu_telemetry_store_files", "Files of samples.")),
        file_bytes(metrics.gauge("gpu_telemetry_store_file_bytes", "Bytes of all files.")),
        file_samples(metrics.gauge("gpu_telemetry_store_file_samples", "Samples in files.")),
        head_bytes(metrics.gauge("gpu_telemetry_store_head_bytes",
                                 "Memory of samples that are in no file yet.")),
        head_samples(
            metrics.gauge("gpu_telemetry_store_head_samples", "Samples that are in no file yet.")),
        journal_bytes(
            metrics.gauge("gpu_telemetry_store_journal_bytes", "Disk space of the journal.")) {}

  prometheus::Counter& samples;
  prometheus::Histogram& write_seconds;
  prometheus::Histogram& seal_seconds;
  prometheus::Histogram& merge_seconds;
  prometheus::Counter& merged_files;
  prometheus::Counter& sealed_files;
  prometheus::Counter& expired_files;
  prometheus::Counter& damage;
  prometheus::Gauge& files;
  prometheus::Gauge& file_bytes;
  prometheus::Gauge& file_samples;
  prometheus::Gauge& head_bytes;
  prometheus::Gauge& head_samples;
  prometheus::Gauge& journal_bytes;
  std::shared_ptr<observability::Metrics::Sampler> sampler;
};

StoreMetrics::StoreMetrics(observability::Metrics* metrics) {
  if (metrics != nullptr) instruments_ = std::make_unique<Instruments>(*metrics);
}

StoreMetrics::~StoreMetrics() = default;

void StoreMetrics::sample(observability::Metrics* metrics,
                          std::function<StoreStatistics()> statistics) {
  if (!instruments_) return;
  instruments_->sampler =
      metrics->on_collect([instruments = instruments_.get(), statistics = std::move(statistics)] {
        const StoreStatistics now = statistics();
        instruments->files.Set(static_cast<double>(now.files));
        instruments->file_bytes.Set(static_cast<double>(now.file_bytes));
        instruments->file_samples.Set(static_cast<double>(now.file_samples));
        instruments->head_bytes.Set(static_cast<double>(now.head_bytes));
        instruments->head_samples.Set(static_cast<double>(now.head_samples));
        instruments->journal_bytes.Set(static_cast<double>(now.journal_bytes));
      });
}

void StoreMetrics::stop_sampling() {
  if (instruments_) instruments_->sampler.reset();
}

void StoreMetrics::wrote(std::uint64_t samples, std::chrono::nanoseconds took) {
  if (!instruments_) return;
  instruments_->samples.Increment(static_cast<double>(samples));
  instruments_->write_seconds.Observe(seconds(took));
}

void StoreMetrics::sealed(std::uint64_t files, std::chrono::nanoseconds took) {
  if (!instruments_) return;
  instruments_->sealed_files.Increment(static_cast<double>(files));
  instruments_->seal_seconds.Observe(seconds(took));
}

void StoreMetrics::merged(std::uint64_t inputs, std::chrono::nanoseconds took) {
  if (!instruments_) return;
  instruments_->merged_files.Increment(static_cast<double>(inputs));
  instruments_->merge_seconds.Observe(seconds(took));
}

void StoreMetrics::expired(std::uint64_t files) {
  if (instruments_) instruments_->expired_files.Increment(static_cast<double>(files));
}

void StoreMetrics::damaged() {
  if (instruments_) instruments_->damage.Increment();
}

}  // namespace gpu_telemetry::storage::embedded
